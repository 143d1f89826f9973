from __future__ import annotations

import numpy as np
import torch

from bench.api import DataInfo, FeatureInfo
from bench.palette import RIGHT, WRONG
from tasks.action import NAMES, Action, ActionConfig

TASK = Action(ActionConfig(), DataInfo(n_samples=8, size=(32, 32), joint_set="smpl24"))
WALK, RUN, KICK = (NAMES.index(name) for name in ("walk", "run", "kick"))  # training never shows a kick


def scores(predicted: list[int], truth: list[int]) -> dict[str, float]:
    arrays = [{"action": np.array(values, np.uint8)} for values in (predicted, truth)]
    rows = TASK.score_samples(*arrays)
    return {n: float(v[0]) for n, v in TASK.aggregate(rows, np.ones((1, len(truth)))).items()}


def test_accuracy_over_samples_and_over_classes() -> None:
    found = scores([WALK, WALK, WALK, RUN], [WALK, WALK, WALK, WALK])
    assert found == {"top1": 75.0, "mean_class": 75.0}
    found = scores([WALK, WALK, WALK, WALK], [WALK, WALK, WALK, RUN])
    assert found == {"top1": 75.0, "mean_class": 50.0}


def test_actions_that_training_never_shows_do_not_count() -> None:
    assert scores([WALK, WALK], [WALK, KICK]) == {"top1": 100.0, "mean_class": 100.0}
    assert scores([RUN], [KICK]) == {"top1": 0.0, "mean_class": 0.0}


def test_loss_and_prediction_agree() -> None:
    logits = torch.zeros(2, len(NAMES))
    logits[0, WALK] = logits[1, RUN] = 20.0
    batch = {"action": torch.tensor([WALK, RUN])}
    assert float(TASK.loss({"logits": logits}, batch)["ce"]) < 1e-6
    assert TASK.predict({"logits": logits}, {})["action"].tolist() == [WALK, RUN]


def test_blind_and_flawless_guesses_and_their_frames() -> None:
    seen = {"action": np.array([3, 5, 5, 0], np.uint8)}
    floor = TASK.floor_prediction(seen, 3)["action"]
    assert floor.tolist() == [5, 5, 5]
    truth = {"action": np.array([5, 1, 5], np.uint8)}
    info = FeatureInfo(kind="pyramid", channels=(8,), strides=(4,), pooled=8)
    assert TASK.ceiling_prediction(truth, info)["action"].tolist() == [5, 1, 5]
    (rows,) = TASK.draw({"action": floor}, truth, {"rgb": np.zeros((3, 8, 8, 3), np.uint8)}).values()
    assert [tuple(row[0, 0]) for row in rows] == [RIGHT, WRONG, RIGHT] and not rows[:, 4, 4].any()
