"""Images of what a data set holds: one contact sheet per part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.data.opening import Spec, adapter_of, typed
from bench.dataset import DataSpec, Part
from bench.files import write_atomic

COLUMNS = 12  # samples on a sheet


def show(specs: Iterable[Spec], root: Path, out: Path, config_dirs: Sequence[str] = ()) -> list[Path]:
    """Write a PNG per data set, source and split with samples spread evenly over it.

    Args:
        specs: what they name; what is missing is made for the sheets alone.
        root: data folder.
        out: folder of the sheets; made if absent.
        config_dirs: where adapters are found besides.

    Returns:
        The files, `<data set>-<source>-<split>.png`; a part that several specs name is shown once, at its
        largest.

    Raises:
        DataError: samples are missing that cannot be made, or are damaged, or the folder cannot be written.
        ConfigError: the data set does not draw itself.
    """
    parts: dict[str, tuple[DataSpec, Part]] = {}
    for spec in map(typed, specs):
        for part in spec.parts:
            name = f"{spec.name}-{part.source}-{part.split}"
            if name not in parts or part.samples > parts[name][1].samples:
                parts[name] = spec, part
    written = []
    for name, (spec, part) in parts.items():
        alone, adapter = replace(spec, parts=(part,)), adapter_of(spec, config_dirs)
        count = part.samples or len(adapter.list_ids(alone, root))
        rows = np.unique(np.linspace(0, count - 1, COLUMNS).astype(int)).tolist()
        written.append(out / f"{name}.png")
        write_atomic(written[-1], adapter.preview(alone, root, rows))
    return written
