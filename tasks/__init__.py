"""Downstream tasks, one file each; registered by the YAML of the same stem in `configs/task`."""
