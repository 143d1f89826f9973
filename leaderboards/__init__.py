"""Data of the leaderboards: the published numbers, read through `importlib.resources`."""
