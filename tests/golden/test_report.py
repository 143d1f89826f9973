"""A recorded miniature store gives exactly the recorded tables.

It holds two encoders, a row that lacks a run, a colour encoder on depth, a row with exposure to test data and
one truncated record. After an intended change of the report, look at the new files first.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from bench.record import read_record
from bench.report.write import report

HERE = Path(__file__).parent / "report"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    report(HERE / "store", out, reference="cmc")
    return out


@pytest.mark.parametrize("name", ["leaderboard.md", "leaderboard.csv", "differences.csv"])
def test_the_recorded_store_gives_the_recorded_tables(name: str, written: Path) -> None:
    assert (written / name).read_text() == (HERE / "expected" / name).read_text()


def test_the_recorded_numbers_follow_from_the_records_alone() -> None:
    """The expected means and differences, recomputed from the records without any code of the report."""
    paths = (HERE / "store").glob("score/*/record.json")
    records = [read_record(path) for path in paths if "broken" not in str(path)]
    values: dict[tuple[str, str, str], dict[int, float]] = {}
    for record in records:
        labels = record["labels"]
        place = (labels["encoder"], labels["method"], labels["fraction"])
        values.setdefault(place, {})[labels["seed"]] = record["metrics"][0]["value"]
    with (HERE / "expected" / "leaderboard.csv").open() as file:
        cells = [row for row in csv.DictReader(file) if row["primary"] == "true"]
    assert len(cells) == len(values)
    for row in cells:
        found = values[row["encoder"], row["method"], row["fraction"]]
        assert float(row["mean"]) == pytest.approx(np.mean(list(found.values())), rel=1e-5)
    with (HERE / "expected" / "differences.csv").open() as file:
        differences = list(csv.DictReader(file))
    for row in differences:
        a = values[row["encoder"], row["method"], row["fraction"]]
        b = values[row["encoder"], row["reference"], row["fraction"]]
        common = [a[seed] - b[seed] for seed in a if seed in b]
        assert int(row["n"]) == len(common)
        assert float(row["difference"]) == pytest.approx(np.mean(common), rel=1e-4)
