"""Weights that others have trained: what a file holds, in which layout, for which network. No torch."""
