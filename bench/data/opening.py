"""Data sets by their spec: open, prepare; the adapter is found by its address."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.dataset import Dataset, DataSpec, Progress
from bench.errors import DataError

Spec = Mapping[str, Any] | DataSpec


def typed(spec: Spec) -> DataSpec:
    """Return the typed form of a spec."""
    return spec if isinstance(spec, DataSpec) else DataSpec.of(spec)


def adapter_of(spec: Spec, config_dirs: Sequence[str] = ()) -> type[Dataset]:
    """Return the class of a data set.

    Raises:
        ConfigError: there is none at that address.
        AssetError: its code has changed since the grid was planned.
    """
    from bench.adapters.loading import check_kind, load_adapter

    meant = typed(spec)
    address = meant.adapter
    adapter = load_adapter(address, config_dirs, meant.source)
    check_kind(adapter, Dataset, address)
    found: type[Dataset] = adapter
    return found


def open_dataset(spec: Spec, root: Path, config_dirs: Sequence[str] = ()) -> Dataset:
    """Open prepared data.

    Raises:
        ConfigError: the spec is wrong.
        AssetError: the code of the adapter has changed since the grid was planned.
        DataError: something is missing or damaged; names it and the command that makes it. Or what the data
            set says of its samples is not one value for each.
    """
    data = adapter_of(spec, config_dirs)(typed(spec), root)
    said = {"clusters": data.clusters, "groups": data.groups, "strata": data.strata, "classes": data.classes}
    for name, values in {**said, **{f"valid.{name}": has for name, has in data.valid.items()}}.items():
        if values is not None and len(values) != len(data):
            raise DataError(f"data set {typed(spec).name}: {len(values)} {name} for {len(data)} samples")
    data.info = replace(data.info, flips={name: field.flip for name, field in data.fields.items()})
    return data


def prepare(
    specs: Iterable[Spec],
    root: Path,
    jobs: int = 1,
    config_dirs: Sequence[str] = (),
    on_progress: Progress | None = None,
) -> int:
    """Make what is missing of some data; return how many samples.

    Raises:
        ConfigError: a spec is wrong.
        DataError: disk full, no permission, a worker died.
        AssetError: a user's files are not where they were said to be, or the code of an adapter has changed.
    """
    groups: dict[type[Dataset], list[DataSpec]] = {}
    for spec in map(typed, specs):
        groups.setdefault(adapter_of(spec, config_dirs), []).append(spec)
    return sum(adapter.prepare(own, root, jobs, on_progress) for adapter, own in groups.items())
