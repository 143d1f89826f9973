from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from bench.api import DataInfo
from bench.data import subset
from bench.synth.hand_domains import clip_class, clip_ids
from bench.synth.hand_poses import GESTURES
from tasks.gesture import ALIKE, KIND, Gesture, GestureConfig

TASK = Gesture(GestureConfig(), DataInfo(n_samples=8, size=(32, 32), joint_set="hand21"))


def scores(predicted: list[str], truth: list[str]) -> dict[str, float]:
    arrays = [
        {"gesture": np.array([GESTURES.index(n) for n in names], np.uint8)} for names in (predicted, truth)
    ]
    rows = TASK.score_samples(*arrays)
    return {n: float(v[0]) for n, v in TASK.aggregate(rows, np.ones((1, len(truth)))).items()}


def test_gestures_are_hagrids_in_the_order_of_their_names() -> None:
    assert len(GESTURES) == 18 and list(GESTURES) == sorted(GESTURES)
    assert len(set(KIND)) == 18 - sum(len(names) - 1 for names in ALIKE)


def test_gestures_that_look_alike_may_count_as_one() -> None:
    assert scores(["peace", "two_up"], ["peace", "two_up"]) == dict.fromkeys(
        ("top1", "mean_class", "alike_as_one"), 100.0
    )
    found = scores(["peace", "three2", "peace", "like"], ["two_up", "peace", "peace_inverted", "like"])
    assert found == {"top1": 25.0, "mean_class": 25.0, "alike_as_one": 75.0}
    assert scores(["fist"], ["palm"])["alike_as_one"] == 0.0


def test_the_head_of_the_paper_normalises_what_it_reads() -> None:
    assert TASK.norm and TASK.metrics[0].name == "top1"


@pytest.mark.parametrize(("source", "clips", "users"), [("d_gesture", 1440, 200), ("d_grasp", 3300, 5)])
def test_budgets_on_the_embedded_hands_hold_all_classes_and_many_users(
    source: str, clips: int, users: int
) -> None:
    ids = [f"{source}/train/{clip:05d}" for clip in range(clips)]
    classes = np.array([clip_class(source, clip) for clip in range(clips)])
    owner = np.array([clip_ids(source, "train", clip).identity for clip in range(clips)])
    assert len(set(owner)) == users and len(set(np.bincount(classes))) == 1
    for share in (
        Fraction(1, 10),
        Fraction(1, 3),
        Fraction(1, 2),
    ):  # strides that share divisors with 18 and 33
        each = np.bincount(classes[subset.stride(ids, share)], minlength=classes.max() + 1)
        assert each.min() >= 0.75 * each.mean()
    drawn = {n: subset.shots(ids, classes.tolist(), n, 0, owner.tolist()) for n in (4, 16)}
    assert set(drawn[4]) <= set(drawn[16]) and drawn[4] == subset.shots(
        ids, classes.tolist(), 4, 0, owner.tolist()
    )
    assert drawn[4] != subset.shots(ids, classes.tolist(), 4, 1, owner.tolist())
    for n, rows in drawn.items():
        assert set(np.bincount(classes[rows])) == {n}
        for k in range(classes.max() + 1):  # another sample of a user only where all have given one
            given = np.bincount(np.unique(owner[rows][classes[rows] == k], return_inverse=True)[1])
            assert len(given) == min(n, users) and given.max() == -(-n // users)
