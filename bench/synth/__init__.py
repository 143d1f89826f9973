"""Synthetic images of people with exact labels, drawn from counter-based random streams."""
