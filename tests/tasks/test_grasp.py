from __future__ import annotations

import numpy as np
import pytest

from bench.api import DataInfo
from bench.synth.grasping import GRASPS
from tasks.grasp import Grasp, GraspConfig

TASK = Grasp(GraspConfig(), DataInfo(n_samples=8, size=(32, 32), joint_set="hand21"))


def test_all_views_and_best_views() -> None:
    truth = {"grasp": np.array([0, 1, 2, 32], np.uint8), "best_view": np.array([1, 1, 0, 0], bool)}
    rows = TASK.score_samples({"grasp": np.array([0, 0, 2, 32], np.uint8)}, truth)
    weights = np.array([[1, 1, 1, 1], [3, 1, 0, 0], [0, 0, 1, 1]], np.float64)
    found = TASK.aggregate(rows, weights)
    assert found["top1"].tolist() == [75.0, 75.0, 100.0]
    assert found["best_view"][:2].tolist() == [50.0, 75.0]
    assert np.isnan(found["best_view"][2])  # no number is made up where there is no best view
    assert found["mean_class"].tolist() == pytest.approx([75.0, 50.0, 100.0])


def test_the_taxonomy_has_33_grasps() -> None:
    assert len(set(GRASPS)) == 33 and TASK.metrics[0].name == "top1"
