"""What `import bench` offers to notebooks and scripts: the commands as functions that return data frames."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import ConfigError, DataError, nearest
from bench.grid import registry
from bench.grid.plan import Plan, expand
from bench.grid.request import BASELINE, Request, Words, resolve
from bench.records.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from bench.api import Encoder

LISTS = ("methods", "tasks", "fractions", "shots", "seeds", "encoders", "protocol", "rates")
CELL = ("method", "encoder", "task", "protocol", "budget", "seed")
SINGLE = ("preset", "track", "mode")


def plan(store: str | Path = "bench-store", overrides: Iterable[str] = (), **grid: Any) -> pd.DataFrame:
    """Return the cells of a grid; nothing is computed.

    Args:
        store: folder of all results.
        overrides: `key=value` words.
        grid: as the options of `bench plan`: `methods`, `tasks`, `fractions`, `shots`, `seeds`, `encoders`,
            `protocol`, `rates` (comma lists or Python lists), `weights` (a list of words, or files by name),
            `preset`, `config_dirs`.

    Returns:
        A row per cell: method, encoder, task, protocol, budget, seed, key, state (`done`, `missing`, `n/a`,
        ...), and the reason why it is not applicable.

    Raises:
        ConfigError: a wrong name, key or value.
    """
    import pandas as pd

    place = Store(_place(store))
    _, found = _planned(place, overrides, grid)
    rows = []
    for cell in found.cells:
        state = place.state(cell.step) if cell.step else "n/a"
        key = cell.step.key if cell.step else ""
        names = {name: getattr(cell, name) for name in CELL}
        rows.append({**names, "key": key, "state": state, "reason": cell.reason})
    return pd.DataFrame(rows)


def run(
    store: str | Path = "bench-store", jobs: int | None = None, overrides: Iterable[str] = (), **grid: Any
) -> pd.DataFrame:
    """Run what is missing of a grid on this machine, and return its scores.

    A cell that fails is left out with a warning; `bench logs KEY` tells why. The trainings run in processes
    of their own; scripts need `if __name__ == "__main__":`.

    Args:
        store: folder of all results.
        jobs: processes; None = one per core.
        overrides: `key=value` words.
        grid: see `plan`.

    Returns:
        A row per record and metric: see `bench.report.records`.

    Raises:
        ConfigError: a wrong name, key or value; or no cell can be run.
        DataError: the store cannot be written.
    """
    import warnings

    from bench.execute.local import execute
    from bench.report.records import load

    if multiprocessing.parent_process() is not None:
        raise ConfigError('bench.run in a process of its own: put it under `if __name__ == "__main__":`')
    if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1):
        raise ConfigError(f"jobs: {jobs!r} is no whole number of at least 1")
    place = Store(_place(store))
    request, found = _planned(place, overrides, grid)
    place.prepare()
    outcome = execute(request, found, place, jobs=jobs)
    for key, reason in outcome.failed.items():
        warnings.warn(f"{key}: {reason}", stacklevel=2)
    keys = {cell.step.key for cell in found.cells if cell.step}
    return load(place.root, keys).runs


def leaderboard(store: str | Path = "bench-store") -> pd.DataFrame:
    """Return the cells of all tables of a store, with intervals; as `leaderboard.csv`.

    Raises:
        DataError: the store holds no usable record.
    """
    from bench.report.leaderboard import analyse
    from bench.report.records import load

    found = load(_place(store))
    if found.runs.empty:
        raise DataError(f"store {store} holds no usable score record")
    return analyse(found).cells


def load_encoder(
    record: str,
    store: str | Path = "bench-store",
    modality: str = "rgb",
    config_dirs: str | Path | Iterable[str | Path] = (),
) -> Encoder:
    """Return a pretrained encoder in evaluation mode, ready for `encoder(images)`.

    Args:
        record: key of a score record (the encoder before fine-tuning) or of a step of pretraining.
        store: folder of all results.
        modality: which of the method's encoders.
        config_dirs: folders of adapters outside the project.

    Raises:
        ConfigError: no such key, or no such encoder.
        DataError: its files are missing or damaged.
    """
    from bench.encoders import load_encoder as read
    from bench.records.record import read_record
    from bench.show import find_step

    root = _place(store)
    folder = find_step(root, str(record))
    while folder is not None and folder.parent.name != "pretrain":
        (before,) = read_record(folder / "record.json")["inputs"]
        folder = find_step(root, str(before))
    if folder is None:
        raise ConfigError(f'"{record}" is no key of a step in {store} whose pretraining is there')
    there = sorted(path.name for path in (folder / "encoders").glob("*") if path.is_dir())
    if modality not in there:
        raise ConfigError(f'{folder.name} has no encoder "{modality}".{nearest(modality, there)}')
    dirs = registry.config_dirs(_folders(config_dirs))[1:]
    return read(folder / "encoders" / modality, config_dirs=tuple(map(str, dirs))).eval()


def _planned(store: Store, overrides: Iterable[str], grid: dict[str, Any]) -> tuple[Request, Plan]:
    from bench.grid.checks import check_applies, check_plan

    grid = {name: value for name, value in grid.items() if value is not None}  # the default
    for name in grid:
        if name not in (known := (*LISTS, *SINGLE, "weights", "config_dirs")):
            raise ConfigError(f'unknown option "{name}".{nearest(name, known)}')
    weights = _weights(grid.get("weights", ()))
    beside = {"methods": BASELINE} if weights else {}
    words = Words(
        **{**beside, **{name: _comma(grid[name]) for name in LISTS if name in grid}},
        weights=weights,
        **{name: str(grid[name]) for name in SINGLE if name in grid},
        config_dirs=_folders(grid.get("config_dirs", ())),
        overrides=_words("overrides", overrides),
    )
    request = resolve(words)
    found = expand(request)
    check_plan(request, found)
    check_applies(found)
    return request, found


def _folders(value: str | Path | Iterable[str | Path]) -> tuple[str, ...]:
    """Return one folder, or several, as words."""
    return tuple(map(str, [value] if isinstance(value, str | Path) else value))


def _place(store: str | Path) -> Path:
    """Return the folder of a store; `~` is the user's home, as on the command line."""
    if not isinstance(store, str | Path):
        raise ConfigError(f"store: {store!r} is no path")
    return Path(store).expanduser()


def _weights(value: str | Iterable[str] | Mapping[str, str | Path]) -> tuple[str, ...]:
    """Return the words of --weights."""
    if isinstance(value, Mapping):
        return tuple(f"{name}={place}" for name, place in value.items())
    return _words("weights", value)


def _words(name: str, value: Any) -> tuple[str, ...]:
    """Return one word, or several."""
    one = isinstance(value, str)
    several = isinstance(value, Iterable) and not isinstance(value, Mapping)
    words = (value,) if one or not several else tuple(value)
    if not all(isinstance(word, str) for word in words):
        raise ConfigError(f"{name}: {value!r} is neither a word like NAME=VALUE nor a list of such")
    return words


def _comma(value: Any) -> str:
    return (
        value
        if isinstance(value, str)
        else ",".join(map(str, value if isinstance(value, list | tuple) else [value]))
    )
