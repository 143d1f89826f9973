import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics.detection import (
    ABSENT,
    COUNTED,
    CROWD,
    IGNORED,
    RECALLS,
    average_precision,
    detection_metrics,
    match_rows,
    precision_and_recall,
)


def random_rows(rng: np.random.Generator, images: int = 6, detections: int = 4, truths: int = 3):
    """Rows whose scores differ inside an image, though not between images."""
    scores = np.stack([rng.permutation(20)[:detections] for _ in range(images)]) / 20
    scores = np.where(rng.random(scores.shape) < 0.2, -np.inf, scores)
    kinds = rng.integers(0, 4, (images, truths))
    return match_rows(rng.random((images, detections, truths)) ** 0.3, scores, kinds)


def repeated(rows, counts):
    return {name: np.repeat(values, counts, axis=0) for name, values in rows.items()}


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_whole_weights_equal_really_repeated_images(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = random_rows(rng)
    weights = rng.integers(0, 4, (3, len(rows["score"])))
    found = precision_and_recall(rows, weights)
    for b, counts in enumerate(weights):
        copy = repeated(rows, counts)
        expected = precision_and_recall(copy, np.ones((1, counts.sum())))
        for mine, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine[b], theirs[0], rtol=0, atol=1e-12)


def test_scaled_weights_change_nothing() -> None:
    rows = random_rows(np.random.default_rng(3))
    weights = np.random.default_rng(4).random((4, len(rows["score"])))
    np.testing.assert_allclose(
        average_precision(rows, weights), average_precision(rows, 1024 * weights), atol=1e-12
    )


def test_by_hand() -> None:
    # One image each: found with 0.9, a mistake with 0.8, found with 0.7 at the lower five thresholds only
    rows = match_rows(
        np.array([[[1.0]], [[0.1]], [[0.71]]]), np.array([[0.9], [0.8], [0.7]]), np.full((3, 1), COUNTED)
    )
    found = detection_metrics(rows, np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]))
    third, two_thirds = (RECALLS <= 1 / 3).sum(), (RECALLS <= 2 / 3).sum()
    low = (third + (two_thirds - third) * 2 / 3) / 101
    high = third / 101
    assert found["ap50"][0] == pytest.approx(low)
    assert found["ap75"][0] == pytest.approx(high)
    assert found["ap"][0] == pytest.approx((5 * low + 5 * high) / 10)
    assert found["ar"][0] == pytest.approx((5 * 2 / 3 + 5 / 3) / 10)
    assert found["ap50"][1] == pytest.approx(1)  # without the mistake
    assert found["ap"][2] == 0
    assert found["ar"][2] == 0


def test_nothing_to_find_is_not_a_number() -> None:
    rows = match_rows(np.zeros((2, 1, 1)), np.zeros((2, 1)), np.array([[IGNORED], [COUNTED]]))
    assert np.isnan(average_precision(rows, np.array([[1.0, 0.0]]))).all()
    assert average_precision(rows, np.array([[1.0, 1.0]])).tolist() == [0.0]


@pytest.mark.parametrize(
    ("kind", "hits", "misses"),
    [(COUNTED, [1, 0], [0, 1]), (IGNORED, [0, 0], [0, 1]), (CROWD, [0, 0], [0, 0]), (ABSENT, [0, 0], [1, 1])],
)
def test_kinds_of_truths(kind: int, hits: list[int], misses: list[int]) -> None:
    """Two detections on one truth: the second is a mistake, unless the truth is a crowd."""
    rows = match_rows(np.full((1, 2, 1), 0.99), np.array([[0.9, 0.8]]), np.array([[kind]]))
    assert rows["hit"][0, 0].tolist() == hits
    assert rows["miss"][0, 0].tolist() == misses
    assert rows["truths"].tolist() == [int(kind == COUNTED)]


def test_only_the_surest_detections_of_an_image_count() -> None:
    scores = np.array([[0.1, 0.9, 0.5, -np.inf]])
    rows = match_rows(np.ones((1, 4, 1)), scores, np.array([[COUNTED]]), max_detections=2)
    assert rows["score"].tolist() == [[0.9, 0.5]]
    assert rows["hit"].shape == (1, 10, 2)
