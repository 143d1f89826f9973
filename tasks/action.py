"""Action in a person crop: which of the embedded people's 19 actions a single image shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import Stats
from bench.synth.actions import ACTIONS, HELD_OUT
from tasks.classification import Classification

NAMES = tuple(ACTIONS)
TAUGHT = np.array([name not in HELD_OUT for name in NAMES])  # the others appear in test data alone


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionConfig:
    """This task has no settings."""


class Action(Classification):
    """Classes are actions; accuracy on test samples of actions that training shows (16 of 19)."""

    Config = ActionConfig
    names = NAMES
    targets = ("action",)

    def score_samples(self, predicted: Stats, truth: Stats) -> Stats:
        """Return the class of each sample and whether it was named, (n, 19) each; none of an untaught one."""
        rows = super().score_samples(predicted, truth)
        return {name: values & TAUGHT for name, values in rows.items()}
