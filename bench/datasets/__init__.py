"""Adapters of data sets, and readers of their files; the core imports none of them by name."""
