"""Pictures of what a data set holds: one contact sheet per part."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.build import missing_pieces
from bench.data.people import People
from bench.data.renderer import rows_per_clip
from bench.data.spec import parse
from bench.data.synthetic import Synthetic
from bench.files import write_atomic

COLUMNS = 12  # samples on a sheet
FIELDS = ("rgb", "depth", "fid", "uv", "kp")


def show(specs: Iterable[Mapping[str, Any]], root: Path, out: Path) -> list[Path]:
    """Write a PNG per domain and split with samples spread evenly over it.

    Rows: colour, depth, parts, charts with their coordinates, joints.

    Args:
        specs: plain data specs.
        root: data folder; what it lacks is rendered for the sheets alone.
        out: folder of the sheets; made if absent.

    Returns:
        The files, `<domain>-<split>.png`; a part that several specs name is shown once, at its largest.

    Raises:
        DataError: samples are damaged, the renderer does not fit, or the folder cannot be written.
    """
    from bench.synth.sheet import contact_sheet

    parts: dict[tuple[str, str], tuple[int, Mapping[str, Any]]] = {}
    for spec in specs:
        for part in parse(spec).parts:
            name = (part.place.domain, part.place.split)
            if part.samples > parts.get(name, (0, {}))[0]:
                given = {"domain": name[0], "split": name[1], "samples": part.samples}
                parts[name] = part.samples, {**spec, "parts": [given]}
    written = []
    for (domain, split), (samples, spec) in parts.items():
        rows = np.unique(np.linspace(0, samples - 1, COLUMNS).astype(int))
        if missing_pieces([spec], root, Synthetic()):
            picked = _render(spec, rows)
        else:
            fields = People(spec, root).batch(rows, FIELDS)
            picked = [{name: fields[name][k] for name in FIELDS} for k in range(len(rows))]
        stream = io.BytesIO()
        contact_sheet(picked, columns=COLUMNS).save(stream, format="PNG", optimize=False)
        path = out / f"{domain}-{split}.png"
        write_atomic(path, stream.getvalue())
        written.append(path)
    return written


def _render(spec: Mapping[str, Any], rows: NDArray[np.int64]) -> list[dict[str, NDArray[Any]]]:
    """Draw samples of the only part of a data spec, and nothing else but the rest of their clips."""
    renderer, (part,) = Synthetic(), parse(spec).parts
    place = part.place
    per_clip = rows_per_clip(renderer, place.domain)
    drawn = {
        clip: renderer.render(place.domain, place.split, clip, size=place.size, seed=place.seed)
        for clip in np.unique(rows // per_clip).tolist()
    }
    return [{name: drawn[row // per_clip][name][row % per_clip] for name in FIELDS} for row in rows.tolist()]
