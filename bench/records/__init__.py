"""What is on disk: folders of steps, claims, records, and their exchange."""
