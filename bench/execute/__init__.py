"""Running a plan: what one step does, and who runs which step where."""
