from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.records.record import seal
from bench.report.lineage import Lineage

Store = Callable[..., Path]


def test_the_steps_behind_a_score_come_nearest_first(
    tiny_records: list[Mapping[str, Any]], store: Store
) -> None:
    score = next(r for r in tiny_records if r["kind"] == "score" and r["labels"]["method"] == "hcmoco")
    lineage = Lineage(store(tiny_records))
    steps = list(lineage.ancestors(score["inputs"]))
    assert [step.title for step in steps] == ["prediction", "fine-tuning", "pretraining"]
    assert steps[0].key == score["inputs"][0]
    assert steps[1].spec["train"]["lr"] == 0.02
    assert steps[2].spec["adapter"] == "methods.hcmoco:M"


def test_stages_of_pretraining_are_told_apart(tiny_records: list[dict[str, Any]], store: Store) -> None:
    first, second = [record for record in tiny_records if record["kind"] == "pretrain"][:2]
    body = {name: value for name, value in second.items() if name not in ("schema", "digest")}
    chained = seal({**body, "inputs": [first["key"]]})
    steps = list(Lineage(store([first, chained])).ancestors([chained["key"]]))
    assert [step.title for step in steps] == ["pretraining", "pretraining, 1 stage before"]


def test_what_is_missing_or_damaged_is_left_out(tiny_records: list[Mapping[str, Any]], store: Store) -> None:
    scores = [r for r in tiny_records if r["kind"] == "score"]
    assert list(Lineage(store(scores)).ancestors(scores[0]["inputs"])) == []
    root = store(tiny_records)
    key = scores[0]["inputs"][0]
    path = root / "predict" / f"cell-{key}" / "record.json"
    path.write_text(path.read_text()[:-30])
    assert list(Lineage(root).ancestors([key])) == []
