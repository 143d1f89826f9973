from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import DataError
from bench.metrics.segmentation import aacc, accuracy, confusion, iou, macc, merge, miou

K = 6


def labels(seed: int, n: int = 4, ignored: bool = True) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, K, (n, 9, 7)).astype(np.uint8)
    if ignored:
        target[rng.random(target.shape) < 0.2] = 255
    return rng.integers(0, K, target.shape).astype(np.uint8), target


def test_three_samples_by_hand() -> None:
    target = np.array([[0, 0, 1, 1], [1, 1, 2, 255], [0, 0, 0, 2]], np.uint8)
    prediction = np.array([[0, 1, 1, 1], [1, 2, 2, 0], [0, 0, 0, 0]], np.uint8)
    counts = confusion(prediction, target, 4)
    assert counts[0].tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert counts[1].tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert counts[2].tolist() == [[3, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    total = counts.sum(0)
    expected = [4 / 6, 3 / 5, 1 / 3, 0]  # hits over union; class 3 occurs nowhere and counts 0
    assert iou(total).tolist() == pytest.approx(expected)
    assert miou(total) == pytest.approx(sum(expected) / 4)
    assert accuracy(total).tolist() == pytest.approx([4 / 5, 3 / 4, 1 / 2, 0])
    assert macc(total) == pytest.approx((4 / 5 + 3 / 4 + 1 / 2) / 4)
    assert aacc(total) == pytest.approx(8 / 11)


def test_agrees_with_cross_tables_and_with_unions_of_masks() -> None:
    prediction, target = labels(0)
    ours = confusion(prediction, target, K)
    for counts, p, t in zip(ours, prediction, target, strict=True):
        table = pd.crosstab(t[t != 255], p[t != 255])
        np.testing.assert_array_equal(counts, table.reindex(index=range(K), columns=range(K), fill_value=0))
    known = target != 255
    masks = [((prediction == k) & known, target == k) for k in range(K)]
    expected = [(p & t).sum() / (p | t).sum() for p, t in masks]
    np.testing.assert_allclose(iou(ours.sum(0)), expected, rtol=1e-12)


def test_perfect_and_worst() -> None:
    _, target = labels(1, ignored=False)
    best = confusion(target, target, K).sum(0)
    assert miou(best) == macc(best) == aacc(best) == 1
    worst = confusion((target + 1) % K, target, K).sum(0)
    assert miou(worst) == macc(worst) == aacc(worst) == 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.permutations(range(4)))
def test_invariant_to_image_order_and_class_names(seed: int, order: list[int]) -> None:
    prediction, target = labels(seed, ignored=False)
    value = miou(confusion(prediction, target, K).sum(0))
    assert miou(confusion(prediction[order], target[order], K).sum(0)) == value
    rename = np.random.default_rng(seed).permutation(K).astype(np.uint8)
    renamed = miou(confusion(rename[prediction], rename[target], K).sum(0))
    assert renamed == pytest.approx(float(value), abs=1e-12)


def test_stacks_of_matrices_give_stacks_of_values() -> None:
    counts = confusion(*labels(2), K)
    for metric in (miou, macc, aacc):
        assert metric(counts).tolist() == [float(metric(one)) for one in counts]


def test_merge_equals_the_confusion_of_merged_labels() -> None:
    prediction, target = labels(3, ignored=False)
    groups = np.array([0, 1, 1, 2, 0, 2], np.uint8)
    expected = confusion(groups[prediction], groups[target], 3)
    np.testing.assert_array_equal(merge(confusion(prediction, target, K), groups), expected)


def test_empty_images_count_nothing() -> None:
    nothing = np.full((2, 3, 3), 255, np.uint8)
    total = confusion(np.zeros_like(nothing), nothing, K).sum(0)
    assert total.sum() == miou(total) == aacc(total) == 0


@pytest.mark.parametrize("bad", [K, 254])
def test_ids_outside_the_classes_are_refused(bad: int) -> None:
    prediction, target = labels(4)
    with pytest.raises(DataError, match=f"target.*{bad}"):
        confusion(prediction, np.where(target == 255, bad, target), K)
    with pytest.raises(DataError, match=f"prediction.*{bad}"):
        confusion(np.full_like(prediction, bad), target, K)


def test_shapes_must_agree() -> None:
    with pytest.raises(DataError, match="same shape"):
        confusion(np.zeros((1, 2)), np.zeros((2, 1)), K)
