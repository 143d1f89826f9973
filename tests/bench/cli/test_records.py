from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.records.record import seal
from bench.records.record_set import RecordSet, read_set, write_set

Bench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def baseline(
    tmp_path_factory: pytest.TempPathFactory, bench: Bench, finished: Path, grid: tuple[str, ...],
    small: tuple[str, ...],
) -> Path:  # fmt: skip
    """The baseline of a grid that has run already."""
    path = tmp_path_factory.mktemp("gate") / "baseline.json"
    words = ("--baseline", str(path), "--store", str(finished))
    done = bench("check", *words, "--update", *grid, *small)
    assert done.returncode == 0, done.stderr
    assert "no baseline yet" in done.stdout and f"new baseline written to {path}" in done.stdout
    return path


def changed(record: dict[str, Any], **entries: Any) -> dict[str, Any]:
    body = {name: value for name, value in record.items() if name not in ("schema", "digest")}
    return seal({**json.loads(json.dumps(body)), **entries})


def rewrite(source: Path, target: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    found = read_set(source)
    records = tuple(change(json.loads(json.dumps(record))) for record in found.records)
    write_set(target, RecordSet(records=records, grid=found.grid))
    return target


def test_an_unchanged_tree_passes_and_says_what_was_compared(
    bench: Bench, baseline: Path, finished: Path
) -> None:
    done = bench("check", "--baseline", str(baseline), "--store", str(finished))
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Regression gate: **passed** (4 x primary metric" in done.stdout
    assert "| hcmoco.dense, resnet10\\_w24: structure |" in done.stdout.replace(
        "resnet10_w24", "resnet10\\_w24"
    )
    assert "were in" in done.stdout and "already, and were not computed again" in done.stdout
    body = json.loads(bench("check", "--baseline", str(baseline), "--store", str(finished), "--json").stdout)
    assert body["passed"] and {c["verdict"] for c in body["changes"]} == {"same", "as fast"}


def test_adapters_of_ones_own_may_be_named_beside_the_grid_of_the_baseline(
    bench: Bench, baseline: Path, finished: Path, tmp_path: Path
) -> None:
    (tmp_path / "method").mkdir()
    words = ("--baseline", str(baseline), "--store", str(finished), "--config-dir", str(tmp_path))
    assert bench("check", *words).returncode == 0
    assert read_set(baseline).grid["config_dirs"] == []  # folders of a machine say nothing elsewhere


def test_what_got_worse_fails_with_a_table_that_names_it(
    bench: Bench, baseline: Path, finished: Path, tmp_path: Path
) -> None:
    def better_before(record: dict[str, Any]) -> dict[str, Any]:
        if record["kind"] == "score" and record["labels"]["method"] == "hcmoco":
            first = {**record["metrics"][0], "value": record["metrics"][0]["value"] + 0.3}
            drawn = [value + 0.3 for value in record["interval"]["replicates"]]
            interval = {**record["interval"], "replicates": drawn}
            return changed(record, metrics=[first, *record["metrics"][1:]], interval=interval)
        if record["kind"] == "pretrain" and record["labels"]["stage"] == "hcmoco.dense":
            curve = [{**point, "loss_gone": 3.0} for point in record["curve"]]
            return changed(record, curve=curve, cost={**record["cost"], "samples_per_s": 1e9})
        return record

    path = rewrite(baseline, tmp_path / "better.json", better_before)
    done = bench("check", "--baseline", str(path), "--store", str(finished))
    assert done.returncode == 1, done.stdout
    rows = [line for line in done.stdout.splitlines() if "**" in line]
    assert "**failed**: 4 regressions" in rows[0]
    assert [row.rpartition("**")[0].rpartition("**")[2] for row in rows[1:]] == [
        "worse", "worse", "vanished", "slower",
    ]  # fmt: skip
    relaxed = bench("check", "--baseline", str(path), "--store", str(finished), "--throughput-ratio", "0")
    assert relaxed.returncode == 1 and "**failed**: 3 regressions" in relaxed.stdout
    updated = bench("check", "--baseline", str(path), "--store", str(finished), "--update")
    assert updated.returncode == 0 and "**failed**: 4 regressions" in updated.stdout
    assert read_set(path) == read_set(baseline)


def test_baselines_of_another_kind_are_not_compared(
    bench: Bench, baseline: Path, finished: Path, small: tuple[str, ...], tmp_path: Path
) -> None:
    def of(**labels: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
        def change(record: dict[str, Any]) -> dict[str, Any]:
            return (
                changed(record, labels={**record["labels"], **labels})
                if record["kind"] == "score"
                else record
            )

        return change

    store = ("--store", str(finished))
    for name, value in (("preset", "small"), ("protocol", 99), ("track", "published")):
        path = rewrite(baseline, tmp_path / f"{name}.json", of(**{name: value}))
        done = bench("check", "--baseline", str(path), *store)
        assert done.returncode == 2 and f"is of {name} {value}, the grid of" in done.stderr
        assert len(done.stderr.splitlines()) == 1 and not done.stdout
        done = bench("check", "--baseline", str(path), *store, "--update")
        assert done.returncode == 0 and "not compared" in done.stdout
    (tmp_path / "half.json").write_text(baseline.read_text()[:5000])
    write_set(tmp_path / "no grid.json", RecordSet(records=read_set(baseline).records))
    wrong = {
        "truncated or damaged": (tmp_path / "half.json", ()),
        "cannot be read": (tmp_path / "none.json", ()),
        "tells no grid": (tmp_path / "no grid.json", ()),
        "leave out its words": (baseline, ("--preset", "small")),
        "the grid stands in": (baseline, ("preset.size=32",)),
    }
    for said, (path, words) in wrong.items():
        done = bench("check", "--baseline", str(path), *store, *words)
        assert done.returncode == 2 and said in done.stderr, done.stderr
        assert len(done.stderr.splitlines()) == 1
    done = bench("check", "--baseline", str(tmp_path / "new.json"), "--update", "--methods", "hcmcoo", *store)
    assert done.returncode == 2 and 'Did you mean "hcmoco"' in done.stderr
    assert not (tmp_path / "new.json").exists()


def test_a_leaderboard_is_rebuilt_from_records_of_others(
    bench: Bench, finished: Path, grid: tuple[str, ...], small: tuple[str, ...], tmp_path: Path
) -> None:
    path, store = tmp_path / "records.json", str(tmp_path / "store")
    done = bench("export", str(path), "--store", str(finished))
    assert done.returncode == 0 and "4 records written" in done.stdout
    few = bench("export", str(tmp_path / "few.json"), "--store", str(finished), *small, "--methods", "cmc",
                "--tasks", "densepose", "--fractions", "1.0")  # fmt: skip
    assert few.returncode == 0 and "1 records written" in few.stdout
    assert len(read_set(tmp_path / "few.json").records) == 1
    done = bench("import", str(path), "--store", store)
    assert done.returncode == 0 and "4 records imported" in done.stdout and "4 of commit" in done.stdout
    ours, theirs = (
        bench("leaderboard", "--store", root, "--out", str(tmp_path / name))
        for name, root in (("a", str(finished)), ("b", store))
    )
    assert ours.returncode == theirs.returncode == 0
    assert "imported: 4 of 4 records" in theirs.stdout and "imported:" not in ours.stdout
    for name in ("leaderboard.csv", "differences.csv", "leaderboard.tex"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    plan = json.loads(bench("status", *grid, *small, "--store", store, "--json").stdout)
    assert plan["counts"] == {"done": 4}
    assert "4 done. Steps to run: none." in bench("plan", *grid, *small, "--store", store).stdout
    assert bench("import", str(tmp_path / "none.json"), "--store", store).returncode == 2
