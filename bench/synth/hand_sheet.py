"""Contact sheets of hands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bench.bodymodels.joints import JOINT_SETS
from bench.palette import CLASS_COLOURS
from bench.synth.hand_domains import SOURCES
from bench.synth.sheet import depth_tile, stacked

Sample = Mapping[str, NDArray[Any]]
Tile = NDArray[np.uint8]

SMALLEST = 96  # pixels of a tile; smaller pictures are enlarged
HAND21 = JOINT_SETS["hand21"]


def contact_sheet(samples: Sequence[Sample], *, columns: int = 12) -> Image.Image:
    """Rows of colour, depth, phalanges and joints of some samples.

    Args:
        samples: stored arrays of single images, all of one size.
        columns: images per row.
    """
    shown = list(samples[:columns])
    zoom = -(-SMALLEST // shown[0]["rgb"].shape[0])
    rows = [
        ("colour, and what is shown", [_named(s, zoom) for s in shown]),
        ("depth (near is yellow, far is violet, black is no measurement)",
         [_large(depth_tile(s["depth"]), zoom) for s in shown]),
        ("16 joints that move the surface, and the forearm",
         [_large(CLASS_COLOURS[s["phalanges"]], zoom) for s in shown]),
        ("21 joints (white visible, red hidden)", [joints_tile(s, zoom) for s in shown]),
    ]  # fmt: skip
    return stacked(rows, columns)


def class_name(sample: Sample) -> str:
    """Gesture or grasp of a sample, "" = none."""
    from bench.synth.grasping import GRASPS
    from bench.synth.hand_poses import GESTURES

    number, domain = int(sample["ids"][5]), int(sample["ids"][6])
    subjects = {settings.domain.index: settings.subject for settings in SOURCES.values()}
    names = {"gesture": list(GESTURES), "grasp": list(GRASPS)}.get(subjects.get(domain, "free"), [])
    return str(names[number]) if 0 <= number < len(names) else ""


def joints_tile(sample: Sample, zoom: int = 1) -> Tile:
    """Skeleton over the darkened image."""
    image = Image.fromarray(_large((0.45 * sample["rgb"]).astype(np.uint8), zoom))
    draw, joints = ImageDraw.Draw(image), sample["keypoints"]
    for child, parent in enumerate(HAND21.parents):
        if parent >= 0:
            ends = [tuple(float(zoom * value) for value in joints[j, :2]) for j in (child, parent)]
            draw.line(ends, fill=tuple(int(c) for c in CLASS_COLOURS[1 + (child - 1) // 4]))
    for x, y, _, visibility in joints.tolist():
        box = [zoom * x - 1.2, zoom * y - 1.2, zoom * x + 1.2, zoom * y + 1.2]
        draw.ellipse(box, fill="white" if visibility == 2 else "red")
    return np.asarray(image)


def _named(sample: Sample, zoom: int) -> Tile:
    image = Image.fromarray(_large(sample["rgb"], zoom))
    side = "left" if sample["side"] else "right"
    text = f"{class_name(sample).replace('_', ' ')} {side[0]}".strip()
    ImageDraw.Draw(image).text(
        (2, image.height - 12), text, fill="white", stroke_width=1, stroke_fill="black"
    )
    return np.asarray(image)


def _large(tile: Tile, zoom: int) -> Tile:
    return tile.repeat(zoom, 0).repeat(zoom, 1)
