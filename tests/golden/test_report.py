"""A recorded miniature store gives exactly the recorded tables.

It holds six tasks in three units and both directions, two encoders, a row that lacks a run, a colour encoder
on depth, a row with exposure to test data, minimum effects, device times, an older record of the same run, a
record of another protocol, and a truncated one. After an intended change of the report, look at the new files
first.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata

from bench.records.record import read_record
from bench.report.write import report

HERE = Path(__file__).parent / "report"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    report(HERE / "store", out, reference="cmc")
    return out


@pytest.mark.parametrize("name", sorted(path.name for path in (HERE / "expected").iterdir()))
def test_the_recorded_store_gives_the_recorded_tables(name: str, written: Path) -> None:
    assert (written / name).read_text() == (HERE / "expected" / name).read_text()


def test_everything_but_plots_page_and_json_is_recorded(written: Path) -> None:
    """The JSON holds all digits, which differ between machines; the page holds the plots."""
    names = {path.name for path in written.iterdir()} - {"plots", "leaderboard.json", "leaderboard.html"}
    assert names == {path.name for path in (HERE / "expected").iterdir()}


Place = tuple[str, str, str, str, str]  # task, protocol, encoder, method, fraction


def recorded() -> dict[Place, dict[int, float]]:
    """Return the primary metric by place and seed, without any code of the report; newer records count."""
    paths = (HERE / "store").glob("score/*/record.json")
    records = [read_record(path) for path in paths if "broken" not in str(path)]
    values: dict[Place, dict[int, float]] = {}
    for record in sorted(records, key=lambda r: r["provenance"]["created"]):
        labels = record["labels"]
        place = tuple(str(labels[n]) for n in ("task", "protocol", "encoder", "method", "fraction"))
        values.setdefault(place, {})[labels["seed"]] = record["metrics"][0]["value"]  # type: ignore[arg-type]
    return values


def rows(name: str) -> list[dict[str, str]]:
    with (HERE / "expected" / name).open() as file:
        return list(csv.DictReader(file))


def place(row: dict[str, str], method: str = "method") -> Place:
    return row["task"], row["protocol"], row["encoder"], row[method], row["fraction"]


def test_the_recorded_means_and_differences_follow_from_the_records_alone() -> None:
    values = recorded()
    cells = [row for row in rows("leaderboard.csv") if row["primary"] == "true"]
    assert len(cells) == len(values)
    for row in cells:
        assert float(row["mean"]) == pytest.approx(np.mean(list(values[place(row)].values())), rel=1e-5)
    for row in rows("differences.csv"):
        a, b = values[place(row)], values[place(row, "reference")]
        common = [a[seed] - b[seed] for seed in a if seed in b]
        assert int(row["n"]) == len(common)
        assert float(row["difference"]) == pytest.approx(np.mean(common), rel=1e-4)
        small = abs(np.mean(common)) < float(row["minimum_effect"])
        better = (np.mean(common) > 0) == (row["higher_is_better"] == "true")
        sure = float(row["p_holm"]) < 0.05 and not small
        assert row["verdict"] == (("better" if better else "worse") if sure else "tie")


def test_the_recorded_ranks_follow_from_the_means_alone() -> None:
    methods = ("scratch", "cmc", "hcmoco", "imagenet")
    tasks = ("body_mesh", "densepose", "gesture", "pose2d", "texture")
    values, ranks = recorded(), []
    for task in tasks:
        means = [np.mean(list(values[task, "1", "resnet10", method, "1"].values())) for method in methods]
        ranks.append(rankdata(means if task == "body_mesh" else -np.array(means)))
    found = [row for row in rows("over_tasks.csv") if row["average_rank"]]
    assert {row["method"]: float(row["average_rank"]) for row in found} == pytest.approx(
        dict(zip(methods, np.mean(ranks, axis=0).tolist(), strict=True))
    )
