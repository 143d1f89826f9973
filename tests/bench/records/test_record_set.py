from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import DataError
from bench.grid.keys import step_key
from bench.records.record import seal
from bench.records.record_set import RecordSet, check_record, read_set, write_set

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=30)


def score(seed: int = 0, method: str = "cmc", value: float = 40.0) -> dict[str, Any]:
    spec, inputs = {"version": 1, "seed": seed, "of": method}, [f"{seed:016x}"]
    return seal(
        {
            "kind": "score", "key": step_key("score", spec, inputs), "spec": spec, "inputs": inputs,
            "labels": {"method": method, "encoder": "resnet10", "task": "parts", "setting": "fraction=1",
                       "seed": seed, "protocol": 1},
            "metrics": [{"name": "miou", "value": value, "unit": "%", "higher_is_better": True}],
            "interval": {}, "curve": [], "selection": {}, "manifests": {}, "exposure": "none", "files": {},
            "cost": {}, "provenance": {"commit": "abc", "device": "cpu"},
        }
    )  # fmt: skip


@given(st.lists(NAMES, max_size=4, unique=True), st.dictionaries(NAMES, NAMES, max_size=3))
def test_any_names_survive_a_round_trip(
    tmp_path_factory: Any, names: list[str], grid: dict[str, str]
) -> None:
    path = tmp_path_factory.mktemp("set") / "records.json"
    records = [score(i, name) for i, name in enumerate(names)]
    write_set(path, RecordSet(records=tuple(records), grid=grid))
    found = read_set(path)
    by_key = sorted(records, key=lambda record: record["key"])
    assert list(found.records) == by_key and dict(found.grid) == grid
    again = path.with_name("again.json")
    write_set(again, RecordSet(records=tuple(reversed(found.records)), grid=found.grid))
    assert again.read_bytes() == path.read_bytes()
    write_set(small := path.with_name("records.json.gz"), found)
    assert read_set(small) == found and gzip.decompress(small.read_bytes()) == path.read_bytes()
    assert len(path.read_text().split("\n")) == 5 + max(1, len(records))  # one record per line, for diffs


DAMAGE = {
    "truncated or damaged": lambda text: text[: len(text) // 2],
    "edited or damaged": lambda text: text.replace('"methods":"cmc"', '"methods":"mae"'),
    "its digest does not match its content": lambda text: text.replace('"value":40.0', '"value":95.0'),
    "holds NaN": lambda text: text.replace('"value":40.0', '"value":NaN'),
    "of format 99": lambda text: text.replace('"format":1', '"format":99'),
    "is not a record set": lambda text: "[]",
    "wrong type": lambda text: text.replace('"records":[', '"records":7,"others":['),
}


@pytest.mark.parametrize("said", DAMAGE)
def test_damage_is_named(said: str, tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    write_set(path, RecordSet(records=(score(0), score(1)), grid={"methods": "cmc"}))
    damaged = DAMAGE[said](path.read_text())
    assert damaged != path.read_text()
    path.write_text(damaged)
    with pytest.raises(DataError, match=said) as error:
        read_set(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "damage", [lambda body: body[:-40], lambda body: body[:9] + b"x" * 50, lambda body: b"{}"]
)
def test_damage_of_a_compressed_set_is_named(damage: Any, tmp_path: Path) -> None:
    path = tmp_path / "records.json.gz"
    write_set(path, RecordSet(records=(score(0), score(1))))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"records\.json\.gz: is not what gzip wrote"):
        read_set(path)


def test_a_key_that_stands_twice_and_a_missing_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    write_set(path, RecordSet(records=(score(0), score(0, value=41.0))))
    with pytest.raises(DataError, match="holds 1 records twice"):
        read_set(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_set(tmp_path / "none.json")


def test_a_record_whose_key_is_not_the_hash_of_its_spec_is_refused() -> None:
    check_record(score(), "here")
    body = {name: value for name, value in score().items() if name not in ("schema", "digest")}
    with pytest.raises(DataError, match="is not the hash of its spec and inputs"):
        check_record(seal({**body, "spec": {**body["spec"], "version": 2}}), "here")
    with pytest.raises(DataError, match="wrong type"):
        check_record({**score(), "spec": {"x": math.nan}}, "here")
