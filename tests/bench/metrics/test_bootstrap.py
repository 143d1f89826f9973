from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from bench.dataset import Arrays
from bench.metrics.bootstrap import replicates, resample_weights
from bench.metrics.weighted import weighted_sums


def mean(rows: Arrays, weights: np.ndarray) -> Arrays:
    totals = weighted_sums(rows, weights)
    return {"mean": totals["sum"] / totals["n"]}


def test_equal_clusters_give_equal_weights_whatever_the_order() -> None:
    clusters = np.array([7, 7, 3, 9, 3, 1])
    first = resample_weights(clusters, 50, seed=4)
    np.testing.assert_array_equal(first, resample_weights(clusters.tolist(), 50, seed=4))
    order = np.array([5, 2, 0, 1, 4, 3])
    np.testing.assert_array_equal(first[:, order], resample_weights(clusters[order], 50, seed=4))
    assert not np.array_equal(first, resample_weights(clusters, 50, seed=5))


def test_whole_clusters_are_drawn() -> None:
    weights = resample_weights(["a", "b", "a", "c"], 200, seed=0)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    drawn = weights[:, [0, 1, 3]]
    assert (drawn.sum(1) == 3).all()
    assert (drawn == drawn.astype(int)).all()
    assert drawn.mean(0).tolist() == pytest.approx([1, 1, 1], abs=0.2)
    assert resample_weights(["x"] * 3, 4, seed=0).tolist() == [[1, 1, 1]] * 4


def test_agrees_with_scipy_on_a_mean() -> None:
    values = np.random.default_rng(0).gamma(2.0, 1.0, 80)
    weights = resample_weights(np.arange(80), 4000, seed=1)
    drawn = replicates(mean, {"sum": values, "n": np.ones(80)}, weights, "mean")
    low, high = np.percentile(drawn, [2.5, 97.5])
    reference = scipy_stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(2)
    )
    assert drawn.std() == pytest.approx(reference.standard_error, rel=0.05)
    assert low == pytest.approx(reference.confidence_interval.low, abs=0.03)
    assert high == pytest.approx(reference.confidence_interval.high, abs=0.03)


def test_replicates_equal_the_metric_of_the_repeated_samples() -> None:
    rng = np.random.default_rng(3)
    stats = {"sum": rng.normal(size=5), "n": rng.integers(1, 9, 5)}
    weights = resample_weights([0, 1, 1, 2, 3], 600, seed=0)  # more than one chunk
    values = replicates(mean, stats, weights, "mean")
    for row in (0, 300, 599):
        picked = np.repeat(np.arange(5), weights[row].astype(int))
        copied = {name: rows[picked] for name, rows in stats.items()}
        expected = mean(copied, np.ones((1, len(picked))))["mean"]
        assert values[row] == pytest.approx(expected[0])


def test_rows_keep_their_shape_and_weights_come_in_chunks() -> None:
    seen: list[tuple[tuple[int, ...], int]] = []

    def total(rows: Arrays, weights: np.ndarray) -> Arrays:
        seen.append((rows["matrix"].shape, len(weights)))
        return {"total": weighted_sums(rows, weights)["matrix"].sum((1, 2))}

    matrices = {"matrix": np.ones((4, 2, 3), np.int64)}
    values = replicates(total, matrices, resample_weights(range(4), 600, seed=0), "total")
    assert seen == [((4, 2, 3), 512), ((4, 2, 3), 88)]
    assert values.tolist() == [24.0] * 600


def test_no_samples_give_no_weights() -> None:
    assert resample_weights([], 5, seed=0).shape == (5, 0)
