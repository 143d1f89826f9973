from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.errors import DataError
from bench.grid.keys import step_key
from bench.grid.plan import expand
from bench.grid.request import Words, resolve
from bench.records.exchange import Imported, export, import_records, origins, slug_of
from bench.records.record import IMPORTED, read_record, seal
from bench.records.record_set import RecordSet, write_set
from bench.records.store import Store


def score(seed: int = 0, **changes: Any) -> dict[str, Any]:
    spec, inputs = {"version": 1}, [f"{seed:016x}"]
    labels = {"method": "cmc", "encoder": "resnet10", "task": "parts", "setting": "fraction=1/10",
              "seed": seed, "protocol": 1, **changes.pop("labels", {})}  # fmt: skip
    return seal(
        {
            "kind": "score", "key": step_key("score", spec, inputs), "spec": spec, "inputs": inputs,
            "labels": labels, "interval": {}, "curve": [], "selection": {}, "manifests": {}, "files": {},
            "metrics": [{"name": "miou", "value": 40.0, "unit": "%", "higher_is_better": True}],
            "exposure": "none", "cost": {}, "provenance": {"commit": "abc", "device": "cpu"}, **changes,
        }
    )  # fmt: skip


@pytest.fixture
def others(tmp_path: Path) -> Path:
    path = tmp_path / "others.json"
    write_set(path, RecordSet(records=tuple(score(seed) for seed in range(3))))
    return path


def bring(store: Path, *sources: Path) -> Imported:
    return import_records(sources, Store(store))


def test_records_go_where_the_store_looks_for_them_and_come_out_again(others: Path, tmp_path: Path) -> None:
    root = tmp_path / "store"
    first = bring(root, others)
    assert (len(first.added), first.known, first.problems) == (3, 0, [])
    folders = sorted(path.name for path in (root / "score").iterdir())
    assert folders[0] == f"cmc-resnet10-parts-fraction=1-10-s0-{score(0)['key']}"
    assert json.loads((root / "score" / folders[0] / IMPORTED).read_text())["source"] == "others.json"
    second = bring(root, others)
    assert (second.added, second.known, second.problems) == ([], 3, [])
    again = tmp_path / "again.json"
    write_set(again, export(Store(root), None, {}))
    assert again.read_bytes() == others.read_bytes()
    assert bring(tmp_path / "other store", root).added == first.added  # a folder: a store of others
    write_set(tmp_path / "packed" / "others.json.gz", export(Store(root), None, {}))
    assert bring(tmp_path / "fourth store", tmp_path / "packed").added == first.added
    single = root / "score" / folders[1] / "record.json"
    assert bring(tmp_path / "third store", single).added == [read_record(single)["key"]]


def test_a_record_that_differs_is_named_and_ours_is_kept(others: Path, tmp_path: Path) -> None:
    root = tmp_path / "store"
    bring(root, others)
    theirs = tmp_path / "theirs.json"
    miou = {**score(1)["metrics"][0], "value": 41.0}
    elsewhere = (score(0, cost={"wall_s": 7.0}), score(1, metrics=[miou]), score(5))
    write_set(theirs, RecordSet(records=elsewhere))
    found = bring(root, theirs)
    assert (len(found.added), found.known, len(found.problems)) == (1, 1, 1)
    assert f"record {score(1)['key']} differs from that of this store" in found.problems[0]
    assert "miou 40.0, there 41.0), which is kept; not imported" in found.problems[0]
    ours = next((root / "score").glob(f"*-{score(0)['key']}/record.json"))
    assert read_record(ours)["cost"] == {}


@pytest.mark.parametrize(
    "name", ["../../../x", "/etc/passwd", "<script>", "a" * 200, '"; rm -rf', "..", "日本"]
)
def test_no_name_leaves_the_store(name: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(score(labels={"method": name, "task": name})))
    root = tmp_path / "in" / "store"
    assert len(bring(root, path).added) == 1
    written = [p for p in tmp_path.rglob("*") if p.is_file() and p != path]
    assert len(written) == 2 and all(p.parent.parent == root / "score" for p in written)


def test_bad_records_are_named_one_by_one_and_the_others_come_in(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    good, whole = score(0), json.dumps(score(1))
    body = {name: value for name, value in score(2).items() if name not in ("schema", "digest")}
    texts = {
        "good": json.dumps(good),
        "half": whole[:300],
        "edited": whole.replace("40.0", "95.0"),
        "nan": whole.replace("40.0", "NaN"),
        "empty": "",
        "key": json.dumps(seal({**body, "key": "0" * 16})),
        "kind": json.dumps({"a": 1}),
        "seed": json.dumps(score(3, labels={"seed": "zero"})),
    }  # fmt: skip
    for name, text in texts.items():
        (folder / f"{name}.json").write_text(text)
    found = bring(tmp_path / "store", folder)
    assert found.added == [good["key"]]
    assert sorted(problem.split(".json")[0].rpartition("/")[2] for problem in found.problems) == sorted(
        texts.keys() - {"good"}
    )
    assert all("\n" not in problem and problem.endswith("not imported") for problem in found.problems)


def test_sources_that_are_unusable_as_a_whole_import_nothing(others: Path, tmp_path: Path) -> None:
    root = tmp_path / "store"
    damaged = tmp_path / "damaged.json"
    damaged.write_text(others.read_text()[:-200])
    (tmp_path / "empty").mkdir()
    for source, said in (
        (damaged, "truncated"),
        (tmp_path / "empty", "holds no records"),
        (tmp_path / "no", "read"),
    ):
        with pytest.raises(DataError, match=said):
            bring(root, others, source)
        assert not root.exists()
    with pytest.raises(DataError, match="holds no score record"):
        export(Store(root), None, {})


def test_a_folder_without_records_is_named_with_what_is_needed(others: Path, tmp_path: Path) -> None:
    folder = tmp_path / "leaderboard"
    folder.mkdir()
    with pytest.raises(DataError, match=r"holds no records \(it is empty\); name a store"):
        bring(tmp_path / "store", folder)
    (folder / "leaderboard.json").write_text('{"tables": []}')
    (folder / "x.csv").touch()
    with pytest.raises(
        DataError, match=r"holds no records \(leaderboard\.json\); name a store, a file of `bench"
    ):
        bring(tmp_path / "store", folder)
    with pytest.raises(DataError, match=r"leaderboard\.json: holds no records; name a store"):
        bring(tmp_path / "store", folder / "leaderboard.json")
    others.rename(folder / "others.json")
    found = bring(tmp_path / "store", folder)
    assert len(found.added) == 3 and "leaderboard.json: holds no records" in found.problems[0]


def test_records_of_another_version_are_neither_exported_nor_replaced(
    others: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "store"
    bring(root, others)
    path = next((root / "score").glob("*-s1-*/record.json"))
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))
    assert len(export(Store(root), None, {}).records) == 2
    assert "is of schema 2, this version reads 1; skipped" in capsys.readouterr().err
    found = bring(root, others)
    assert len(found.problems) == 1 and "schema 2" in found.problems[0] and found.known == 2
    assert '"schema": 2' in path.read_text()


def test_origins_count_records_by_commit_and_device() -> None:
    dirty = score(1, provenance={"commit": "abc", "device": "cpu", "dirty_sha256": "12"})
    assert origins([score(0), score(2), dirty]) == [
        "2 of commit abc on cpu", "1 of commit abc with uncommitted changes on cpu",
    ]  # fmt: skip


@pytest.mark.parametrize("more", [{"protocol": "finetune,linear,knn"}, {"rates": "1e-3,1e-2"}])
def test_a_record_of_any_protocol_goes_where_its_step_is_looked_for(more: dict[str, Any]) -> None:
    words = Words(methods="scratch", tasks="action", fractions="0.1", seeds="3", **more)
    cells = expand(resolve(words)).cells
    assert len(cells) == (1 if "rates" in more else 3)
    for cell in cells:
        assert cell.step is not None
        spec = {**cell.step.inputs[0].inputs[0].spec, **cell.step.spec}
        labels = {
            "method": cell.method, "encoder": cell.encoder, "task": cell.task, "setting": cell.budget,
            "seed": cell.seed, "protocol": spec["protocol"],
        }  # fmt: skip
        assert slug_of(labels) == cell.step.slug
