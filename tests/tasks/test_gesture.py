from __future__ import annotations

import numpy as np

from bench.api import DataInfo
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
