"""Records of other versions of the code are told, and not told where there is nothing to tell."""

from __future__ import annotations

import json
from pathlib import Path

from bench.adapters.sources import shipped_digest
from bench.execute import stale
from bench.grid.plan import Plan, code_of, expand
from bench.grid.request import Words, resolve
from bench.records.store import Store


def put(plan: Plan, store: Store, digest: str | None) -> None:
    """Write what is read of records; None = the digest of the code as it is."""
    for step in plan.steps:
        if step.kind in ("pretrain", "finetune"):
            path = store.folder(step) / "record.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            made = digest if digest is not None else shipped_digest(code_of(step.spec))
            path.write_text(json.dumps({"provenance": {"source_sha256": made}}))


def test_records_of_another_version_are_counted_by_file(tmp_path: Path) -> None:
    plan = expand(resolve(Words(methods="cmc,scratch", tasks="densepose")))
    store = Store(tmp_path)
    assert stale.stale(plan, store) == []
    put(plan, store, None)
    assert stale.stale(plan, store) == []
    put(plan, store, "0" * 16)
    lines = stale.stale(plan, store)
    assert [line.partition(" computed")[0] for line in lines] == [
        "2 records were", "2 records were", "1 record was",
    ]  # fmt: skip
    assert "another version of methods/cmc.py or bench/encoders/timm_pyramid.py; raise `version`" in lines[0]
    put(plan, store, "")  # as from outside the project
    assert stale.stale(plan, store) == []
