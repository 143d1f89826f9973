"""Metrics as plain functions of arrays: per-sample statistics that add up, and what their sums say."""
