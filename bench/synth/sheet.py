"""Contact sheets: what the generator makes, at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bench.bodymodels.model import surrogate_body
from bench.palette import CLASS_COLOURS
from bench.synth import labels
from bench.synth.clips import render_clip
from bench.synth.domains import DOMAINS, SPLITS

Sample = Mapping[str, NDArray[Any]]
Tile = NDArray[np.uint8]

LABEL_HEIGHT = 13  # pixels of a heading
_RAMP = np.array([(253, 231, 37), (94, 201, 98), (33, 145, 140), (59, 82, 139), (90, 20, 110)])  # near to far


def contact_sheet(samples: Sequence[Sample], *, columns: int = 12) -> Image.Image:
    """Rows of colour, depth, parts, charts with UV, and joints of some samples.

    Args:
        samples: arrays of single images, all of one size; see `clips.FIELDS`.
        columns: images per row.
    """
    shown = list(samples[:columns])
    rows = {
        "colour": [s["rgb"] for s in shown],
        "depth (near is yellow, far is violet, black is no measurement)": [
            depth_tile(s["depth"]) for s in shown
        ],
        "25 parts": [CLASS_COLOURS[labels.part25(s["fid"])] for s in shown],
        "chart, u, v": [iuv_tile(s) for s in shown],
        "24 joints (white visible, red hidden)": [joints_tile(s) for s in shown],
    }
    return stacked([(title, tiles) for title, tiles in rows.items()], columns)


def overview(*, size: int = 128, seed: int = 0, columns: int = 12, first: int = 0) -> Image.Image:
    """A sheet with samples of every domain, then cross-view and cross-pose rows.

    Args:
        size: side of the images, pixels.
        seed: seed of the data set.
        columns: images per row.
        first: clip to start at.
    """
    rows: list[tuple[str, list[Tile]]] = []
    mixed: list[Sample] = []
    share = -(-columns // len(DOMAINS))
    for name, domain in sorted(DOMAINS.items(), key=lambda item: "depth" not in item[1].modalities):
        clips = (render_clip(name, domain.splits[0], first + k, size=size, seed=seed) for k in range(columns))
        picked = [_one(clip, k % len(clip["rgb"])) for k, clip in enumerate(clips)]
        rows.append((f"{name} / {domain.splits[0]}", [s["rgb"] for s in picked]))
        mixed.extend(picked[:share])
    body = contact_sheet(mixed, columns=columns)
    lab = [render_clip("lab_rgbd", SPLITS[0], first + k, size=size, seed=seed)["rgb"] for k in range(columns)]
    views, frames = DOMAINS["lab_rgbd"].cameras, DOMAINS["lab_rgbd"].frames
    rows.append(
        ("cross-view: one moment, all cameras", [t for c in lab[: columns // views] for t in c[:views]])
    )
    rows.append(
        ("cross-pose: one camera, all frames", [t for c in lab[: columns // frames] for t in c[::views]])
    )
    top = stacked(rows, columns)
    sheet = Image.new("RGB", (max(top.width, body.width), top.height + body.height), "white")
    sheet.paste(top, (0, 0))
    sheet.paste(body, (0, top.height))
    return sheet


def depth_tile(depth: NDArray[np.uint16]) -> Tile:
    """Depth in millimetres in colour, near is yellow, far is violet, missing is black; (S, S, 3)."""
    valid = depth > 0
    if not valid.any():
        return np.zeros((*depth.shape, 3), np.uint8)
    near, far = np.percentile(depth[valid], (1, 97))
    place = np.clip((depth - near) / (far - near + 1.0), 0, 1) * (len(_RAMP) - 1)
    colour = [np.interp(place, np.arange(len(_RAMP)), _RAMP[:, channel]) for channel in range(3)]
    return np.where(valid[..., None], np.stack(colour, -1), 0).astype(np.uint8)


def iuv_tile(sample: Sample) -> Tile:
    """Chart, u and v as red, green and blue; (S, S, 3)."""
    chart = 10 * labels.chart24(sample["fid"])
    return np.concatenate([chart[..., None], sample["uv"]], 2)


def joints_tile(sample: Sample) -> Tile:
    """Skeleton over the darkened image; (S, S, 3)."""
    image = Image.fromarray((0.45 * sample["rgb"]).astype(np.uint8))
    draw, joints = ImageDraw.Draw(image), sample["kp"]
    for child, parent in enumerate(surrogate_body().parents):
        if parent >= 0:
            ends = [tuple(map(float, joints[j, :2])) for j in (child, parent)]
            draw.line(ends, fill=tuple(int(c) for c in CLASS_COLOURS[1 + child]))
    for x, y, _, visibility in joints.tolist():
        draw.ellipse([x - 1.2, y - 1.2, x + 1.2, y + 1.2], fill="white" if visibility == 2 else "red")
    return np.asarray(image)


def _one(clip: Mapping[str, NDArray[Any]], row: int) -> Sample:
    return {name: array[row] for name, array in clip.items()}


def stacked(rows: Sequence[tuple[str, Sequence[Tile]]], columns: int) -> Image.Image:
    """Rows of tiles under their titles."""
    size = rows[0][1][0].shape[0]
    sheet = Image.new("RGB", (columns * (size + 1), len(rows) * (size + 1 + LABEL_HEIGHT)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (title, tiles) in enumerate(rows):
        y = number * (size + 1 + LABEL_HEIGHT)
        draw.text((2, y), title, fill="black")
        for k, tile in enumerate(tiles):
            sheet.paste(Image.fromarray(tile), (k * (size + 1), y + LABEL_HEIGHT))
    return sheet
