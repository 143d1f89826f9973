"""Pretraining methods, one file each; registered by the YAML of the same stem in `configs/method`."""
