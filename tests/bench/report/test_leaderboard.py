from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats as reference
from statsmodels.stats.multitest import multipletests

from bench.errors import ConfigError
from bench.report import tables
from bench.report.leaderboard import Summaries

Make = Callable[..., Any]

SCORES = np.linspace(10, 60, 80)
EFFECTS = {"scratch": 25.0, "cmc": 30.0, "mae": 28.0}
ONE = {"fractions": {"1": 0.0}}


def primary(found: Summaries) -> pd.DataFrame:
    return found.cells[found.cells["primary"]]


def ranked(found: Summaries) -> dict[str, tuple[int, ...]]:
    """Return the seeds of the rows that are ranked, by name; all budgets have the same."""
    cells = primary(found)[primary(found)["ranked"]]
    seeds = cells.groupby("name", sort=False)["seeds"].unique()
    assert all(len(several) == 1 for several in seeds)
    return {str(name): several[0] for name, several in seeds.items()}


def without(records: list[Any], **labels: Any) -> list[Any]:
    """Return the records but those with all of these labels."""
    return [r for r in records if any(r["labels"][name] != value for name, value in labels.items())]


def test_the_known_best_wins_and_what_cannot_be_told_apart_is_a_tie(
    make_world: Make, summaries: Make
) -> None:
    effects = {"weak": 30.0, "scratch": 25.0, "strong": 40.0, "equal": 39.9}
    found = summaries(make_world(effects, seeds=5, seed_sd=0.5))
    cells = primary(found)[primary(found)["fraction"] == "1/10"].set_index("name")
    assert list(cells.index) == ["scratch", "equal", "strong", "weak"]
    best, tied = cells.index[cells["best"].astype(bool)], cells.index[cells["tie"].astype(bool)]
    assert {*best, *tied} == {"strong", "equal"} and len(best) == 1
    d = found.differences[(found.differences["against"] == "reference")].query("fraction == '1/10'")
    assert set(d["method"]) == {"weak", "strong", "equal"} and set(d["n"]) == {5}
    assert d.set_index("method")["difference"]["strong"] == pytest.approx(15, abs=1)
    assert d["beyond"].all() and (d["verdict"] == "better").all()


@pytest.mark.parametrize(
    "labels",
    [{"preset": "small"}, {"track": "published"}, {"mode": "parity"}, {"protocol": 2}, {"task": "pose"}],
)
def test_a_table_never_mixes_settings(labels: dict[str, Any], make_world: Make, summaries: Make) -> None:
    effects = {"scratch": 25.0, "cmc": 30.0}
    found = summaries([*make_world(effects), *make_world(effects, labels=labels, stream=1)])
    assert len(found.tasks) == 2
    for task in found.tasks:
        assert len(task.runs[list(labels)].drop_duplicates()) == 1
        assert list(task.primary["name"].unique()) == ["scratch", "cmc"]
    assert len(found.costs) == (2 if "task" in labels else 4)


BOTH_KINDS = {"shots=4": -4.0, "shots=16": 0.0, "1/10": 0.0, "1": 8.0}


def test_a_table_never_mixes_shots_and_label_shares(make_world: Make, summaries: Make) -> None:
    records = make_world({"scratch": 25.0, "cmc": 30.0}, fractions=BOTH_KINDS)
    records += make_world({"mae": 28.0}, fractions={"1/10": 0.0, "1": 8.0}, stream=1)
    found = summaries(records)
    assert [(t.title, [b.header for b in t.budgets]) for t in found.tasks] == [
        ("parts on people", ["10 % labels", "100 % labels"]),
        ("parts on people, few-shot", ["4 shots", "16 shots"]),
    ]
    shares, few = found.tasks
    assert {cell.name for cell in shares.primary_cells if cell.ranked} == {"scratch", "cmc", "mae"}
    assert {cell.name for cell in few.primary_cells if cell.ranked} == {"scratch", "cmc"}
    assert shares.missing.empty and few.missing.empty  # a budget that a row was not asked for is not lacking
    families = {t.title: set(t.differences["family"]) for t in found.tasks}
    assert families == {"parts on people": {4}, "parts on people, few-shot": {2}}
    columns = {t.title: [c.title for table in tables.of_task(t) for c in table.columns] for t in found.tasks}
    assert not any("shots" in title for title in columns["parts on people"])
    assert not any("labels" in title for title in columns["parts on people, few-shot"])
    notes = " ".join(note for table in tables.of_task(few) for note in table.notes)
    assert "labelled training samples of each class" in notes and "label share" not in notes
    assert found.problems == ()


def test_draws_of_shots_are_no_strides(make_record: Make, summaries: Make) -> None:
    labels = [{"subset": seed, "pretrain_seed": 0} for seed in range(3)]
    runs = [make_record(SCORES + s, seed=s, fraction="shots=4", labels=labels[s]) for s in range(3)]
    found = summaries(runs)
    assert primary(found)["stride_mean"].isna().all()
    assert "the label subset (4 shots)" in found.tasks[0].interval
    assert "other label subsets (4 shots)" in summaries(runs[:1]).tasks[0].interval


def test_other_test_data_and_other_encoders_are_kept_apart(make_record: Make, summaries: Make) -> None:
    other = {"test": {"n": 240, "sha256": "ffff" * 16}}
    found = summaries([
        make_record(SCORES),
        make_record(SCORES + 1, method="cmc"),
        make_record(SCORES + 2, method="cmc", manifests=other),
        make_record(SCORES + 3, method="mae", labels={"encoder": "vit_tiny"}),
    ])  # fmt: skip
    assert [len(task.runs) for task in found.tasks] == [3, 1]
    assert all("test set" in task.title for task in found.tasks)
    cells = found.tasks[0].primary.set_index("encoder")
    assert not cells["best"]["vit_tiny"]  # alone on its encoder: nothing to be best of
    assert set(found.tasks[0].differences["encoder"]) == {"resnet10"}


# ---- what is ranked: common runs


def test_a_row_that_lacks_runs_is_listed_and_not_ranked(make_world: Make, summaries: Make) -> None:
    records = make_world({**EFFECTS, "lucky": 50.0})
    found = summaries(without(records, method="lucky", fraction="1", seed=2))
    assert set(ranked(found)) == {"scratch", "cmc", "mae"}
    missing = found.tasks[0].missing[["name", "fraction", "seed", "subset"]]
    assert missing.to_dict("records") == [{"name": "lucky", "fraction": "1", "seed": 2, "subset": 0}]
    assert "lucky: missing 100 %: seed 2. Present: 10 %: " in tables.incomplete(found.tasks[0])[0][2]
    assert set(primary(found)[primary(found)["best"].astype(bool)]["name"]) == {"cmc"}
    assert "lucky" not in set(found.cost_quality["method"]) | set(found.savings["method"])


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("best", [True, False])
def test_further_seeds_of_one_method_change_no_ranking(
    count: int, best: bool, make_world: Make, summaries: Make
) -> None:
    """Neither the worst nor the best method leaves the others incomplete by having more seeds."""
    effects = {f"m{i}": 25.0 + 5 * i for i in range(count)}
    chosen = f"m{count - 1 if best else 0}"
    records = make_world(effects, seeds=4)
    usual = [r for r in records if r["labels"]["seed"] < 3]
    more = [r for r in records if r["labels"]["seed"] < 3 or r["labels"]["method"] == chosen]
    found, expected = summaries(more), summaries(usual)
    assert ranked(found) == dict.fromkeys(effects, (0, 1, 2))
    pd.testing.assert_frame_equal(found.cells, expected.cells)
    pd.testing.assert_frame_equal(found.differences, expected.differences)
    assert found.tasks[0].further[["name", "fraction", "seed"]].to_dict("records") == [
        {"name": chosen, "fraction": f, "seed": 3} for f in ("1/10", "1")
    ]
    notes = " ".join(tables.scores(found.tasks[0]).notes)
    assert (
        f"Further runs, not used: resnet10, {chosen}: 10 %: seed 3, resnet10, {chosen}: 100 %: seed 3"
        in notes
    )


def test_a_further_fraction_of_one_method_is_shown_and_not_ranked(make_world: Make, summaries: Make) -> None:
    records = make_world(EFFECTS, fractions={"1/100": -5.0, "1/10": 0.0, "1": 8.0})
    usual = [r for r in records if r["labels"]["fraction"] != "1/100"]
    more = [r for r in records if r in usual or r["labels"]["method"] == "scratch"]
    found, expected = summaries(more), summaries(usual)
    assert set(ranked(found)) == set(EFFECTS)
    shown = primary(found)
    assert shown[shown["fraction"] == "1/100"]["name"].to_list() == ["scratch"]
    assert not shown[shown["fraction"] == "1/100"][["best", "tie", "ranked"]].any(axis=None)
    rest = shown[shown["fraction"] != "1/100"].drop(columns="interval").reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, primary(expected).drop(columns="interval").reset_index(drop=True))
    pd.testing.assert_frame_equal(found.savings, expected.savings)
    pd.testing.assert_frame_equal(found.cost_quality, expected.cost_quality)
    notes = " ".join(tables.scores(found.tasks[0]).notes)
    assert (
        "Not ranked, since no run (seed) is common to most methods there: resnet10 at 1 % labels (scratch)"
        in notes
    )


@pytest.mark.parametrize("methods", [("scratch", "cmc"), ("scratch", "cmc", "mae")])
def test_further_tasks_of_one_method_change_nothing_over_tasks(
    methods: tuple[str, ...], make_world: Make, summaries: Make
) -> None:
    effects = {name: EFFECTS[name] for name in methods}
    usual = [r for i, t in enumerate("ab") for r in make_world(effects, labels={"task": t}, stream=i)]
    more = [r for t in "cdef" for r in make_world({"cmc": 30.0}, labels={"task": t})]
    (found,), (expected,) = summaries([*usual, *more]).overall, summaries(usual).overall
    assert (found.methods, found.tasks, found.left_out) == (methods, expected.tasks, ())
    assert (found.ranks, found.improvements) == (expected.ranks, expected.improvements)
    assert len(found.all_tasks) == 6


def test_methods_that_share_no_seed_are_not_ranked_and_that_is_said(
    make_world: Make, summaries: Make
) -> None:
    records = make_world({"scratch": 25.0, "cmc": 45.0}, seeds=4, **ONE)
    apart = [r for r in records if (r["labels"]["seed"] < 2) == (r["labels"]["method"] == "cmc")]
    found = summaries(apart)
    assert ranked(found) == {} and found.differences.empty
    assert len(primary(found)) == 2 and not primary(found)["best"].any()
    where = "parts on people, resnet10, 100 % labels"
    assert found.problems == (
        f"{where}: no run (seed) is common to most methods, so none is ranked there",
        f"{where}: cmc and scratch share no seed, so there is no difference between them",
    )


def test_where_no_two_rows_have_what_most_have_the_runs_of_all_rows_count(
    make_world: Make, summaries: Make
) -> None:
    lacks = {"scratch": 0, "cmc": 1, "mae": 2}  # seeds; seed 3 is there for all
    records = make_world(EFFECTS, seeds=4, **ONE)
    found = summaries([r for r in records if lacks[r["labels"]["method"]] != r["labels"]["seed"]])
    assert ranked(found) == dict.fromkeys(("scratch", "cmc", "mae"), (3,))
    assert len(found.tasks[0].further) == 6 and found.tasks[0].missing.empty


# ---- names of rows


def test_a_name_tells_what_was_overridden_whatever_stands_beside_it(
    make_record: Make, summaries: Make
) -> None:
    hard = make_record(SCORES + 1, method="hcmoco", labels={"config": "dense.config.dense=hard"})
    default, scratch = make_record(SCORES + 2, method="hcmoco"), make_record(SCORES)

    def names(*records: Any) -> list[str]:
        return list(primary(summaries(records))["name"])

    assert names(hard) == ["hcmoco (dense.config.dense=hard)"]
    assert names(default) == ["hcmoco"]
    assert names(scratch, hard, default) == ["scratch", "hcmoco", "hcmoco (dense.config.dense=hard)"]


def test_rows_that_differ_in_nothing_but_labels_never_share_a_name(
    make_record: Make, summaries: Make
) -> None:
    found = summaries([
        make_record(SCORES, method="cmc", labels={"config": "dim=8"}),
        make_record(SCORES, method="cmc", labels={"config": "dim=8", "init": "imagenet"}),
        make_record(SCORES, method="cmc (dim=8)"),
        make_record(SCORES, method="mae"),
    ])  # fmt: skip
    names = list(primary(found)["name"])
    assert len(set(names)) == 4 and "mae" in names
    assert any("init imagenet" in name for name in names)


# ---- differences


def test_references_add_pairs_once_and_must_exist(make_world: Make, summaries: Make) -> None:
    records = make_world(EFFECTS, **ONE)
    found = summaries(records, "cmc").differences.query("against == 'reference'")
    assert set(zip(found["method"], found["reference"], strict=True)) == {
        ("cmc", "scratch"), ("mae", "scratch"), ("mae", "cmc"),
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r'"cmmc".* Did you mean "cmc"'):
        summaries(records, "cmmc")


def test_holms_families_are_one_reference_each_and_all_that_is_behind_the_best(
    make_world: Make, summaries: Make
) -> None:
    effects = {"scratch": 25.0, "cmc": 25.6, "mae": 26.0, "hcmoco": 26.4}
    found = summaries(make_world(effects, seeds=3, seed_sd=0.3), "cmc").differences
    families = found[found["against"] == "reference"].groupby("reference")
    sizes = {name: len(family) for name, family in families}
    assert sizes == {"scratch": 6, "cmc": 4}  # two label shares each
    for _, family in [*families, ("best", found[found["against"] == "best"])]:
        assert family["p_holm"].to_list() == pytest.approx(multipletests(family["p"], method="holm")[1])
        assert set(family["family"]) == {len(family)}


def test_a_certain_but_small_difference_is_a_tie_everywhere(make_world: Make, summaries: Make) -> None:
    """Half a point, measured with next to no noise: only the minimum effect decides."""
    for least, tied in ((0.0, False), (0.4, False), (0.6, True)):
        found = summaries(make_world(
            {"scratch": 25.0, "cmc": 25.5}, seeds=5, seed_sd=0.02, own_sd=0.1,
            labels={"minimum_effect": least}, **ONE,
        ))  # fmt: skip
        first = found.differences.iloc[0]
        assert first["beyond"] and first["p_holm"] < 0.001
        assert first["verdict"] == ("tie" if tied else "better")
        assert bool(primary(found).set_index("name")["tie"]["scratch"]) == tied


# ---- cells


def test_a_cell_by_hand(make_record: Make, summaries: Make) -> None:
    values = [31.0, 33.0, 32.0, 36.0, 33.0]
    records = [make_record(np.full(80, v) + SCORES - 35, seed=s) for s, v in enumerate(values)]
    first, second = summaries(records).cells.itertuples()
    assert (first.n, first.mean, first.minimum, first.maximum) == (5, 33, 31, 36)
    assert first.sd == pytest.approx(np.std(values, ddof=1))
    low, high = reference.t.interval(0.95, 4, loc=33, scale=reference.sem(values))
    assert (first.t_low, first.t_high) == pytest.approx((low, high))
    assert first.low < 33 < first.high and first.kind == "seeds and test units"
    assert (second.metric, second.mean, second.kind) == ("error", 67, "none")  # no replicates
    assert np.isnan(second.low) and (second.t_low, second.t_high) == pytest.approx((100 - high, 100 - low))
    (alone, _) = summaries(records[:1]).cells.itertuples()
    assert np.isnan([alone.sd, alone.t_low]).all() and alone.kind == "test units"
    assert np.isnan(summaries(records[:4]).cells["t_low"]).all()  # needs five


def test_the_interval_text_follows_the_runs(make_record: Make, summaries: Make) -> None:
    def run(seed: int, fraction: str, subset: int) -> Any:
        labels = {"subset": subset, "pretrain_seed": 0}
        return make_record(SCORES + seed, method="cmc", seed=seed, fraction=fraction, labels=labels)

    found = summaries([run(s, "1/10", s) for s in range(3)] + [run(s, "1/2", 0) for s in range(3)])
    text = found.tasks[0].interval
    assert "the label subset (10 %)" in text
    assert "one checkpoint per method" in text
    assert "other label subsets (50 %)" in text
    stride = primary(found).set_index("fraction")["stride_mean"]
    assert stride["1/10"] == pytest.approx(35) and np.isnan(stride["1/2"])


def test_records_without_replicates_show_no_interval(make_world: Make, summaries: Make) -> None:
    found = summaries(make_world({"scratch": 25.0, "cmc": 35.0}, replicates=0))
    assert found.cells["low"].isna().all() and found.tasks[0].interval.startswith("No interval")
    assert not found.differences["beyond"].any() and found.differences["p_holm"].isna().all()


# ---- what cannot be compared


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": {"protocol": 2}}, "records of several protocols: 1, 2"),
        ({"labels": {"minimum_effect": 0.5}}, "records of several minimum effects: 0, 0.5"),
        ({"manifests": {"test": {"n": 240, "sha256": "ffff" * 16}}}, "several test sets"),
        (
            {"metrics": [{"name": "iou", "value": 1.0, "unit": "", "higher_is_better": True}]},
            "several metrics: iou (ratio), miou (%)",
        ),
    ],
)
def test_records_that_cannot_share_a_table_are_named(
    changes: dict[str, Any], message: str, make_record: Make, summaries: Make
) -> None:
    (line,) = summaries([make_record(SCORES), make_record(SCORES + 1, method="cmc", **changes)]).problems
    assert message in line and "not compared" in line
    assert summaries([make_record(SCORES), make_record(SCORES + 1, method="cmc")]).problems == ()
