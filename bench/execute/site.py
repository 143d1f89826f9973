"""What every kind of step gets to know about where it runs, and the files of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import DataError
from bench.files import sha256_file
from bench.grid.plan import Step
from bench.records.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldInfo:
    """The processes of a job: one per device, which train a stage together."""

    rank: int = 0
    nodes: int = 1
    per_node: int = 1

    @property
    def size(self) -> int:
        """Return how many there are."""
        return self.nodes * self.per_node


ALONE = WorldInfo()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """Where and how steps run here; nothing of it may change a number."""

    store: str
    config_dirs: tuple[str, ...] = ()
    accelerator: str = "auto"  # cpu, cuda or auto, as Lightning Fabric names them
    team: WorldInfo = ALONE


def check_input(store: Store, step: Step, name: str) -> Path:
    """Return a file of a done step.

    Raises:
        DataError: it is not there.
    """
    path = store.folder(step) / name
    if not path.is_file():
        raise DataError(f"{path} is missing; run the same command again to have it made anew")
    return path


def digests(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the SHA-256 of files of a step, for its record."""
    return {name: sha256_file(folder / name) for name in names}
