"""What has been drawn into a folder of plots, so that a report draws only what has changed.

`drawn.json` names every plot with a digest of all it was made from and the checksums of its files; plots of
earlier reports that are not wanted any more are removed by it, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from bench.files import sha256_file, sha256_text, write_atomic, writing
from bench.report.figure import Plot

Kind = Literal["png", "svg"]
KINDS: tuple[Kind, ...] = ("png", "svg")
INDEX = "drawn.json"
_CODE = (
    "axes.py",
    "canvas.py",
    "figure.py",
    "layout.py",
    "lettering.py",
    "raster.py",
    "text.py",
    "vector.py",
)  # what draws them


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A plot on disk: `<name>.png` and `<name>.svg`."""

    name: str
    title: str
    caption: str

    def paths(self, folder: Path) -> dict[Kind, Path]:
        """Return the files by kind."""
        return {kind: folder / f"{self.name}.{kind}" for kind in KINDS}


def digest(plot: Plot) -> str:
    """Return what a plot's content depends on as 64 hex digits: its data and the code that draws it."""
    return sha256_text(f"{_code()} {plot!r}")


@cache
def _code() -> str:
    sums = [sha256_file(Path(__file__).with_name(name)) for name in _CODE]
    return hashlib.sha256(" ".join([version("matplotlib"), *sums]).encode()).hexdigest()


def read_index(folder: Path) -> dict[str, Drawn]:
    """Return, by digest, the plots whose files are as they were written."""
    return {mark: drawn for mark, drawn, sums in _entries(folder) if _sums(drawn, folder) == sums}


def write_index(folder: Path, plots: Mapping[str, Drawn]) -> None:
    """Note what the folder holds now, and remove the plots that an earlier report left there.

    Args:
        folder: of the plots.
        plots: by digest.

    Raises:
        DataError: the folder cannot be written.
    """
    stale = {path for _, drawn, _ in _entries(folder) for path in drawn.paths(folder).values()}
    stale -= {path for drawn in plots.values() for path in drawn.paths(folder).values()}
    with writing(folder):
        for path in stale:
            path.unlink(missing_ok=True)
    content = {mark: {"plot": asdict(drawn), "sha256": _sums(drawn, folder)} for mark, drawn in plots.items()}
    write_atomic(folder / INDEX, json.dumps(content, indent=1))


def _sums(drawn: Drawn, folder: Path) -> dict[str, str]:
    paths = drawn.paths(folder).values()
    return {path.suffix: sha256_file(path) for path in paths if path.is_file()}


def _entries(folder: Path) -> list[tuple[str, Drawn, dict[str, str]]]:
    """Return what the index lists; nothing where there is none or it is damaged."""
    try:
        found = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        entries = [
            (mark, Drawn(**entry["plot"]), dict(entry["sha256"]))
            for mark, entry in found.items()
            if entry["plot"]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return [e for e in entries if Path(e[1].name).name == e[1].name]  # none elsewhere
