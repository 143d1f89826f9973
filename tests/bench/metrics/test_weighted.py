import numpy as np

from bench.metrics.weighted import weighted_sums


def test_totals_are_those_of_repeated_rows() -> None:
    rng = np.random.default_rng(0)
    rows = {
        "counts": rng.integers(0, 9, (7, 3, 2)),
        "flags": rng.random((7, 4)) < 0.5,
        "one": rng.random(7),
    }
    weights = rng.integers(0, 4, (5, 7)).astype(np.float64)
    totals = weighted_sums(rows, weights)
    for name, values in rows.items():
        expected = [np.repeat(values, row.astype(int), axis=0).sum(0) for row in weights]
        assert totals[name].dtype == np.float64
        np.testing.assert_allclose(totals[name], np.array(expected, float), rtol=1e-14)


def test_large_counts_stay_exact() -> None:
    rows = {"pixels": np.array([2**30 + 1, 2**30 + 3], np.int64)}
    total = weighted_sums(rows, np.array([[1.0, 1.0], [2.0, 0.0]], np.float32))["pixels"]
    assert total.tolist() == [2**31 + 4, 2**31 + 2]
