"""Write the leaderboard of a store."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.report.reading import read
from bench.report.workers import Workers

if TYPE_CHECKING:
    from bench.report.assemble import Report


def report(
    store_root: Path,
    out_dir: Path,
    select: Collection[str] | None = None,
    reference: str | Sequence[str] | None = None,
) -> Report:
    """Make the leaderboard of a store; all numbers come from its score records alone.

    Args:
        store_root: the store.
        out_dir: gets leaderboard.{md,html,csv,json,tex}, {differences,savings,cost_quality,over_tasks}.csv
            and plots/*.{png,svg}.
        select: keys of the score records to use; None = all.
        reference: methods to compare with, besides scratch.

    Raises:
        DataError: no usable score record, or `out_dir` cannot be written.
        ConfigError: no record of a reference method.
    """
    references = (reference,) if isinstance(reference, str) else tuple(reference or ())
    with Workers() as workers, _without_collections():
        found = read(store_root, select, workers, meanwhile=_import_rest)
        from bench.report.assemble import assemble

        return assemble(found, store_root, out_dir, references, workers)


def _import_rest() -> None:
    """Import what takes as long as reading thousands of records, which others do meanwhile."""
    import bench.report.assemble  # noqa: F401


@contextmanager
def _without_collections() -> Iterator[None]:
    """Look for no garbage: of the million objects that thousands of records are, all stay until the end.

    Afterwards they count as old, which saves the search that would begin at once.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.freeze()
            gc.unfreeze()
            gc.enable()
