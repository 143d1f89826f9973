"""The steps that a score record was computed from, as far as the store still holds them.

Numbers never come from here, only what a reader may want to know about them: the resolved specs of
prediction, fine-tuning and pretraining.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import DataError
from bench.records.record import read_record

_KINDS = {
    "predict": "prediction", "finetune": "fine-tuning", "probe": "probe", "features": "frozen features",
    "pretrain": "pretraining",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestor:
    """A step before the score step."""

    title: str  # `prediction`, `fine-tuning`, `pretraining`, `pretraining, 1 stage before`, ...
    key: str
    spec: Mapping[str, Any]


class Lineage:
    """The steps of a store by key; each record is read once, when it is first asked for."""

    def __init__(self, store_root: Path) -> None:
        self._folders = {
            folder.name.rpartition("-")[2]: folder
            for kind in _KINDS
            for folder in sorted((store_root / kind).glob("*-*"))
            if ".corrupt-" not in folder.name
        }
        self._records: dict[str, dict[str, Any] | None] = {}

    def ancestors(self, inputs: Sequence[str]) -> Iterator[Ancestor]:
        """Yield the steps behind these inputs that are in the store, the nearest first."""
        todo = [(key, 0) for key in inputs]
        seen: set[str] = set()
        while todo:
            key, stages = todo.pop(0)
            record = self._record(key)
            if record is None or key in seen:
                continue
            seen.add(key)
            title = _KINDS[record["kind"]]
            if stages:
                title += f", {stages} stage{'s' if stages > 1 else ''} before"
            yield Ancestor(title=title, key=key, spec=record["spec"])
            todo += [(str(before), stages + (record["kind"] == "pretrain")) for before in record["inputs"]]

    def _record(self, key: str) -> dict[str, Any] | None:
        if key not in self._records:
            try:
                folder = self._folders.get(key)
                record = read_record(folder / "record.json") if folder else None
            except DataError:  # damaged; the next run makes it anew, and no number depends on it here
                record = None
            self._records[key] = record if record and record["kind"] in _KINDS else None
        return self._records[key]
