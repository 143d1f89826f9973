"""Losses as plain functions of tensors, float32 at least, also under autocast."""
