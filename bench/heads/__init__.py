"""Heads that turn features into maps over the image; one choice per kind of encoder, shared by all tasks."""

from __future__ import annotations

from bench.heads.concat import ConcatHead
from bench.heads.dense import pixel_head
from bench.heads.dpt import DPTHead
from bench.heads.linear_probe import LinearPixelProbe, LinearProbe
from bench.heads.pixel import PixelHead, read_points, upsample

__all__ = [
    "ConcatHead",
    "DPTHead",
    "LinearPixelProbe",
    "LinearProbe",
    "PixelHead",
    "pixel_head",
    "read_points",
    "upsample",
]
