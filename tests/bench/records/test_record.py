from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import DataError
from bench.files import canonical, sha256_text
from bench.records.record import SCHEMA, _sealed, parse_record, read_record, seal, validate, write_record

METRIC = {"name": "auc30", "value": 0.5, "unit": "", "higher_is_better": True}
BODY: dict[str, Any] = {
    "kind": "score", "key": "0123456789abcdef", "labels": {"method": "cmc", "seed": 0}, "inputs": ["f" * 16],
    "files": {"scores.npz": "0" * 64}, "cost": {"wall_s": 1.25}, "provenance": {"commit": "abc"},
    "spec": {"version": 1, "nested": {"lr": 1e-4, "words": ["ü", None, True]}}, "metrics": [METRIC],
    "interval": {"unit": "person", "replicates": [0.1, 0.25, 1 / 3]}, "curve": [{"value": 3}],
    "selection": {"rule": "last"}, "manifests": {}, "exposure": "none",
}  # fmt: skip
TEXT = json.dumps(seal(BODY), indent=1, sort_keys=True)


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "step" / "record.json"
    record = write_record(path, BODY)
    assert read_record(path) == record == {**BODY, "schema": SCHEMA, "digest": record["digest"]}


@pytest.mark.parametrize(
    "word", ["", "a: b", "ü", '": ', "back\\slash", "new\nline", "\u2028", "  two  ", "\x7f"]
)
@pytest.mark.parametrize("number", [0.1, 1e16, 1e-7, 5e-324, 2**63, 10**25, -0.0])
def test_whatever_was_written_is_read_and_nothing_else(word: str, number: float, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    labels = {"word": word, "number": number, "digest": "0" * 64}
    record = write_record(path, {**BODY, "labels": labels})
    raw = path.read_bytes()
    read = read_record(path)
    assert read == record and repr(read["labels"]) == repr(dict(sorted(labels.items())))
    path.write_bytes(raw.replace(b"0.25", b"0.26"))
    with pytest.raises(DataError, match="digest does not match"):
        read_record(path)


@settings(max_examples=200)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_ordinary_records_need_not_be_read_twice(value: float) -> None:
    record = seal({**BODY, "labels": {"value": value}})
    found = _sealed(json.dumps(record, indent=1).encode())
    assert found == record or (found is None and "e" in repr(value))


def test_a_digest_does_not_vouch_for_a_record_that_was_sealed_by_hand() -> None:
    record = seal(BODY)
    body = {**record, "labels": [1]}
    del body["digest"]
    raw = json.dumps({**body, "digest": sha256_text(canonical(body))}).encode()
    with pytest.raises(DataError, match='r: entry "labels" has the wrong type'):
        parse_record(raw, "r")


def test_what_json_changes_is_changed_before_sealing(tmp_path: Path) -> None:
    odd = {**BODY, "spec": {"pair": (1, 2), "by_number": {10: "a", 9: "b"}}}
    write_record(tmp_path / "r.json", odd)
    assert read_record(tmp_path / "r.json")["spec"] == {"pair": [1, 2], "by_number": {"10": "a", "9": "b"}}


@settings(max_examples=300)
@given(
    st.integers(0, len(TEXT) - 1),
    st.characters(codec="utf-8"),
    st.sampled_from(["replace", "insert", "delete"]),
)
def test_any_single_character_change_is_caught_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, at: int, character: str, how: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.json"
    path.write_text(TEXT[:at] + character * (how != "delete") + TEXT[at + (how != "insert") :])
    try:
        assert read_record(path) == json.loads(TEXT)  # e.g. a blank between entries
    except DataError as error:
        assert str(path) in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("length", [0, 1, len(TEXT) // 2, len(TEXT) - 1])
def test_truncation_is_named(length: int, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(TEXT[:length])
    with pytest.raises(DataError, match=r"record .*r\.json: is not JSON"):
        read_record(tmp_path / "r.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 99}, "schema 99, this version reads 1"),
        ({"kind": "guess"}, 'unknown kind "guess"'),
        ({"labels": []}, '"labels" has the wrong type'),
        ({"cost": None}, '"cost" has the wrong type'),
        ({"exposure": None}, '"exposure" has the wrong type'),
        ({"metrics": []}, "holds no metric"),
        ({"metrics": [3]}, "a metric is not a JSON object"),
        ({"metrics": [{**METRIC, "value": "0.5"}]}, '"value" has the wrong type'),
        ({"metrics": [{**METRIC, "value": True}]}, '"value" has the wrong type'),
        ({"metrics": [{**METRIC, "value": math.nan}]}, "NaN"),
        ({"curve": [{"value": math.inf}]}, "infinity"),
        ({"spec": {"x": object()}}, "holds what no record may"),
    ],
)
def test_wrong_content_cannot_be_sealed(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        seal({**BODY, **change})


@pytest.mark.parametrize("entry", ["key", "provenance", "interval", "manifests", "metrics"])
def test_missing_entries_are_named(entry: str) -> None:
    with pytest.raises(DataError, match=f'"{entry}" is missing'):
        seal({name: value for name, value in BODY.items() if name != entry})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"value": 0.5', '"value": 0.6', "digest does not match"),
        ('"value": 0.5', '"value": NaN', "holds NaN"),
        ('"digest"', '"digestion"', '"digest" is missing'),
        (TEXT, "[]", "not a JSON object"),
        (TEXT, "[" * 100_000, "is not JSON"),
    ],
)
def test_edits_are_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in TEXT
    (tmp_path / "r.json").write_text(TEXT.replace(old, new))
    with pytest.raises(DataError, match=message):
        read_record(tmp_path / "r.json")


def test_each_kind_has_its_own_entries() -> None:
    common = {k: BODY[k] for k in ("key", "labels", "inputs", "files", "cost", "provenance", "spec")}
    for kind, own in {
        "pretrain": {"curve": [], "facts": {}, "manifests": {}},
        "finetune": {"curve": [], "selection": {}, "manifests": {}},
        "predict": {"manifests": {}},
    }.items():
        validate(seal({**common, "kind": kind, **own}), "here")
        with pytest.raises(DataError, match="is missing"):
            seal({**common, "kind": kind})
