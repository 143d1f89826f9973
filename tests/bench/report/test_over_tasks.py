from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference
from statsmodels.stats.multitest import multipletests

from bench.records.record import seal
from bench.report import tables
from bench.report.over_tasks import Overall, paired_tests, rank_methods

Make = Callable[..., Any]

EFFECTS = {"scratch": 25.0, "imagenet": 35.0, "cmc": 30.0, "hcmoco": 38.0}
TASKS = ("parts", "pose", "mesh", "hands", "grasp", "depth", "gesture")


def records_of(
    make_world: Make,
    tasks: tuple[str, ...] = TASKS,
    effects: dict[str, float] = EFFECTS,
    labels: dict[str, Any] | None = None,
    **options: Any,
) -> list[Any]:
    found = []
    for stream, task in enumerate(tasks):
        named = {"task": task, **(labels or {})}
        found += make_world(effects, stream=stream, labels=named, curve=[], **options)
    return found


def overall(summaries: Make, records: list[Any], *references: str) -> Overall:
    (found,) = summaries(records, *references).overall
    return found  # type: ignore[no-any-return]


def test_a_full_grid_is_ranked_normalised_and_tested(make_world: Make, summaries: Make) -> None:
    found = overall(summaries, records_of(make_world), "cmc")
    assert found.methods == ("scratch", "cmc", "hcmoco", "imagenet")
    assert (len(found.tasks), found.cells, found.seeds, found.left_out) == (7, 14, (3, 3), ())
    assert found.ranks is not None
    assert found.ranks.average == (4.0, 3.0, 1.0, 2.0)
    assert found.ranks.critical_difference == pytest.approx(2.569 * np.sqrt(4 * 5 / 42), rel=1e-3)
    assert found.normalised is not None
    values = dict(zip(found.methods, found.normalised, strict=True))
    assert values["scratch"].value == pytest.approx(0, abs=0.02)
    assert values["imagenet"].value == pytest.approx(1, abs=0.02)
    assert values["cmc"].value == pytest.approx(0.5, abs=0.06)
    assert values["hcmoco"].value == pytest.approx(1.3, abs=0.06)
    shares = {(i.method, i.reference): i.share.value for i in found.improvements}
    assert shares["hcmoco", "cmc"] == 1 and shares["scratch", "cmc"] == 0
    assert len(found.paired) == 6 and {test.p for test in found.paired} == {2 / 2**7}


def test_normalised_scores_do_not_care_for_units_or_direction(make_record: Make, summaries: Make) -> None:
    """The same runs told as errors in millimetres give the same scores."""
    rng = np.random.default_rng(0)
    ups, downs = [], []
    for task in TASKS[:3]:
        for seed in range(3):
            for method, effect in EFFECTS.items():
                scores = effect + rng.normal(0, 0.5) + np.linspace(-9, 9, 80)
                place = {"method": method, "seed": seed, "curve": [], "labels": {"task": task}}
                ups.append(make_record(scores, **place))
                error = {"name": "e", "unit": "mm", "higher_is_better": False}
                downs.append(
                    make_record(
                        500 - 7 * scores,
                        metrics=[{**error, "value": float((500 - 7 * scores).mean())}],
                        **place,
                    )
                )
    found, turned = overall(summaries, ups), overall(summaries, downs)
    assert found.normalised is not None and turned.normalised is not None
    for a, b in zip(found.normalised, turned.normalised, strict=True):
        assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high))
    assert found.ranks is not None and turned.ranks is not None
    assert found.ranks.average == turned.ranks.average


def test_incomplete_methods_are_listed_and_never_ranked(make_world: Make, summaries: Make) -> None:
    records = records_of(make_world)
    gone = next(r for r in records if r["labels"]["method"] == "cmc" and r["labels"]["task"] == "pose")
    records.remove(gone)
    found = overall(summaries, records)
    assert found.methods == ("scratch", "hcmoco", "imagenet")
    assert found.left_out == (("cmc", "incomplete in pose on people"),)
    assert len(found.tasks) == 7
    assert "cmc (incomplete in pose on people)" in tables.not_over_tasks(found)[0]
    assert "cmc" not in {row.method for row in tables.over_tasks(found)[0].rows}


def test_missing_tasks_leave_the_common_subset(make_world: Make, summaries: Make) -> None:
    def has(record: Any) -> bool:
        method, task = record["labels"]["method"], record["labels"]["task"]
        return not (method == "hcmoco" and task in TASKS[:2]) and not (method == "cmc" and task in TASKS[1:])

    found = overall(summaries, [r for r in records_of(make_world) if has(r)])
    assert found.methods == ("scratch", "hcmoco", "imagenet")
    assert found.left_out == (("cmc", "only 1 of the 6 tasks that most methods have"),)
    assert len(found.tasks) == 5 and "parts on people" not in found.tasks
    assert "5 of 7 tasks, 10 cells" in tables.over_tasks(found)[0].notes[0]


def test_shots_and_label_shares_are_budgets_of_one_task(make_world: Make, summaries: Make) -> None:
    both = {"1/10": 0.0, "1": 8.0, "shots=4": -5.0}
    records = records_of(make_world, TASKS[:1], fractions=both) + records_of(make_world, TASKS[1:2])
    found = overall(summaries, records)
    assert found.tasks == ("parts on people", "pose on people") and found.cells == 5
    assert found.ranks is not None and found.ranks.average == (4.0, 3.0, 1.0, 2.0)
    some = [r for r in records if (r["labels"]["setting"], r["labels"]["method"]) != ("shots=4", "cmc")]
    assert overall(summaries, some).cells == 4  # without what one of the methods lacks
    assert overall(summaries, some).left_out == ()


@pytest.mark.parametrize(
    ("tasks", "effects", "said"),
    [
        (TASKS[:1], EFFECTS, "fewer than two tasks"),
        (TASKS[:3], {"cmc": 30.0}, "fewer than two methods"),
    ],
)
def test_too_little_is_said_in_words(
    tasks: tuple[str, ...], effects: dict[str, float], said: str, make_world: Make, summaries: Make
) -> None:
    found = overall(summaries, records_of(make_world, tasks, effects))
    assert found.ranks is None and said in found.ranks_reason
    assert said in tables.not_over_tasks(found)[0] and tables.over_tasks(found) == []


def test_without_imagenet_there_are_no_normalised_scores(make_world: Make, summaries: Make) -> None:
    effects = {name: effect for name, effect in EFFECTS.items() if name != "imagenet"}
    found = overall(summaries, records_of(make_world, TASKS[:3], effects))
    assert found.normalised is None
    assert "imagenet has no complete row" in found.normalised_reason
    assert any("No normalised scores: it needs" in note for note in tables.over_tasks(found)[0].notes)


def test_cells_where_the_ends_are_close_are_guarded(
    make_world: Make, make_record: Make, summaries: Make
) -> None:
    """In the third task scratch and imagenet differ by 1, with a deviation of 1 over seeds."""
    records = records_of(make_world, TASKS[:2])
    for method, effect in (("scratch", 30.0), ("imagenet", 31.0), ("cmc", 30.5), ("hcmoco", 31.5)):
        for seed in range(3):
            scores = np.full(80, effect + seed - 1) + np.linspace(-9, 9, 80)
            labels = {"task": "texture"}
            records.append(
                make_record(scores, method=method, seed=seed, fraction="1", labels=labels, curve=[])
            )
    found = overall(summaries, records)
    assert found.guarded == ("texture on people, 100 % labels",)
    assert found.normalised is not None and len(found.tasks) == 3
    assert found.normalised[0].value == pytest.approx(0, abs=0.05)
    assert any("texture on people, 100 % labels" in n for n in tables.over_tasks(found)[0].notes)


def test_one_seed_has_no_deviation_to_guard_with(make_world: Make, summaries: Make) -> None:
    found = overall(summaries, records_of(make_world, TASKS[:2], seeds=1))
    assert found.normalised is None and "twice the seed deviation" in found.normalised_reason
    assert all(share.share.low is None for share in found.improvements)


def test_pairs_are_tested_by_the_log_ratio_of_errors(make_world: Make, summaries: Make) -> None:
    found = summaries(records_of(make_world, TASKS, {"scratch": 25.0, "cmc": 25.3}, seed_sd=1.0))
    primary = found.cells[found.cells["primary"]]
    logs = np.log(100 - primary["mean"].astype(float)).groupby([primary["task"], primary["name"]]).mean()
    expected = reference.wilcoxon(logs.xs("scratch", level=1), logs.xs("cmc", level=1)).pvalue
    (test,) = found.overall[0].paired
    assert test.p == pytest.approx(expected)


def test_pairs_need_six_tasks_and_scores_that_can_be_errors(make_world: Make, summaries: Make) -> None:
    few = overall(summaries, records_of(make_world, TASKS[:5]))
    assert "at least 6 tasks (here 5)" in few.paired_reason
    above = {"scratch": 105.0, "cmc": 110.0}
    assert (
        "cannot be read as an error" in overall(summaries, records_of(make_world, TASKS, above)).paired_reason
    )


def test_settings_and_encoders_are_never_mixed(make_world: Make, summaries: Make) -> None:
    records = records_of(make_world, TASKS[:2])
    for labels in ({"preset": "small"}, {"encoder": "vit_tiny"}):
        records += make_world(EFFECTS, labels={"task": "parts", **labels}, curve=[])
    found = summaries(records).overall
    assert [(o.setting[0], o.encoder, len(o.tasks)) for o in found] == [
        ("small", "resnet10", 1), ("tiny", "resnet10", 2), ("tiny", "vit_tiny", 1),
    ]  # fmt: skip


def test_of_two_tables_of_a_task_the_newer_counts(make_world: Make, summaries: Make) -> None:
    old = records_of(make_world, TASKS[:2])
    made = {**old[0]["provenance"], "created": "2025-01-01T00:00:00Z"}
    new = records_of(make_world, TASKS[:2], {"scratch": 25.0, "cmc": 30.0}, labels={"minimum_effect": 0.5})
    new += make_world(
        {"scratch": 25.0, "cmc": 20.0},
        labels={"task": "parts", "minimum_effect": 1.0},
        provenance=made,
        curve=[],
    )
    found = overall(summaries, [*old, *new])
    assert found.all_tasks == ("parts on people", "pose on people")
    assert found.ranks is not None
    assert dict(zip(found.methods, found.ranks.average, strict=True)) == {"scratch": 1.5, "cmc": 1.5}


SCORES = np.random.default_rng(0).normal([30, 32, 33, 36], 1.5, (10, 4))  # tasks x methods


def test_the_f_shaped_friedman_test_by_scipy_and_by_hand() -> None:
    found = rank_methods([row[None] for row in SCORES])
    chi2 = reference.friedmanchisquare(*SCORES.T).statistic
    statistic = 9 * chi2 / (10 * 3 - chi2)
    assert found.friedman == pytest.approx(statistic)
    assert found.friedman_p == pytest.approx(reference.f.sf(statistic, 3, 27))


def test_demsars_worked_example() -> None:
    """Table 6 of Demsar (2006): 4 classifiers on 14 data sets, CD = 1.25."""
    table = [
        [0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657], [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625], [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975], [0.957, 0.978, 0.946, 0.970],
    ]  # fmt: skip
    found = rank_methods([np.array([row]) for row in table])
    assert found.average == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=1e-3)
    assert found.critical_difference == pytest.approx(1.25, abs=5e-3)


def test_budgets_are_averaged_within_a_task_before_tasks() -> None:
    many = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])  # the second is better at three budgets
    one = np.array([[2.0, 1.0]])
    assert rank_methods([many, one]).average == (1.5, 1.5)


def test_ties_get_mean_ranks() -> None:
    assert rank_methods([np.array([[5.0, 5.0, 7.0, 1.0]])]).average == (2.5, 2.5, 1.0, 4.0)


@pytest.mark.parametrize(
    ("tasks", "methods", "said"),
    [
        (4, 4, "at least 5 tasks (here 4)"),
        (9, 2, "at least 3 methods (here 2)"),
        (3, 2, "3 methods (here 2) and 5"),
    ],
)
def test_too_few_tasks_or_methods_have_no_critical_difference(tasks: int, methods: int, said: str) -> None:
    found = rank_methods([row[None, :methods] for row in SCORES[:tasks]])
    assert found.critical_difference is None and found.friedman_p is None
    assert said in found.reason


def test_methods_that_do_not_differ_have_no_critical_difference() -> None:
    found = rank_methods([row[None] for row in np.random.default_rng(1).normal(size=(8, 4))])
    assert found.friedman_p is not None and found.friedman_p > 0.05
    assert "finds no difference" in found.reason
    tied = rank_methods([np.ones((1, 3))] * 6)
    assert (tied.friedman_p, tied.average) == (1.0, (2.0, 2.0, 2.0))
    sure = rank_methods([np.array([[1.0, 2.0, 3.0]])] * 6)
    assert (sure.friedman_p, sure.friedman) == (0.0, np.inf)
    assert sure.critical_difference is not None


def _all_signs(differences: list[int]) -> float:
    """Return the p of Wilcoxon's test by trying all signs."""
    d = np.array([v for v in differences if v], dtype=float)
    ranks = reference.rankdata(np.abs(d))
    middle = ranks.sum() / 2
    signs = np.array(list(product((0, 1), repeat=len(d))), dtype=float).reshape(2 ** len(d), len(d))
    return float((np.abs(signs @ ranks - middle) >= abs(ranks[d > 0].sum() - middle) - 1e-9).mean())


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(-4, 4), min_size=6, max_size=10))
def test_pairs_with_ties_and_zeros_count_all_signs(differences: list[int]) -> None:
    scores = np.array([differences, np.zeros(len(differences))]).T
    assert paired_tests(scores)[0].p == pytest.approx(_all_signs(differences))


def test_pairs_of_methods_that_do_not_differ_have_p_1_and_others_holms_correction() -> None:
    assert paired_tests(np.ones((6, 2)))[0].p == 1
    found = paired_tests(SCORES)
    p = [test.p for test in found]
    assert [(t.first, t.second) for t in found] == list(combinations(range(4), 2))
    assert [t.p_holm for t in found] == pytest.approx(multipletests(p, method="holm")[1].tolist())


def test_scores_lie_between_floor_and_ceiling_where_all_records_tell_them(
    make_world: Make, summaries: Make
) -> None:
    """They need no row of imagenet then; a single cell without bounds ends it."""
    effects = {"scratch": 20.0, "cmc": 30.0, "mae": 50.0}
    records = []
    for stream, task in enumerate(TASKS[:2]):
        ends = {"floor": {"miou": 10.0}, "ceiling": {"miou": 60.0}}
        more: dict[str, Any] = {"fractions": {"1": 0.0}, "seed_sd": 0.1, "own_sd": 0.1, "bounds": ends}
        records += make_world(effects, stream=stream, labels={"task": task}, **more)
    found = overall(summaries, records)
    assert found.normalised is not None and found.normalised_ends == ("floor", "ceiling")
    values = {n: v.value for n, v in zip(found.methods, found.normalised, strict=True)}
    assert values == pytest.approx({"scratch": 0.2, "cmc": 0.4, "mae": 0.8}, abs=0.01)
    (over,) = tables.over_tasks(found)
    assert any("floor = 0, ceiling = 1 per cell" in note for note in over.notes)

    lacking = [
        seal({n: v for n, v in r.items() if n not in ("schema", "digest", "bounds")})
        if (r["labels"]["method"], r["labels"]["task"]) == ("cmc", TASKS[0])
        else r
        for r in records
    ]
    without = overall(summaries, lacking)
    assert without.normalised is None and "imagenet" in without.normalised_reason
