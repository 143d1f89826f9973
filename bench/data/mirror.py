"""What the mirror swaps: tables by the `flip` of a field."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from bench.bodymodels.joints import JOINT_SETS
from bench.bodymodels.surface import DP24_FLIP, GARMENT_FLIP, LIP_FLIP, P25_FLIP
from bench.errors import ConfigError, nearest

SIDES = np.array([1, 0], np.uint8)  # of a hand: right, left
CLASSES = {
    "p25": P25_FLIP, "dp24": DP24_FLIP, "garments20": GARMENT_FLIP, "lip20": LIP_FLIP, "sides": SIDES,
}  # fmt: skip
BODY, HAND = "surrogate-v1", "surrogate-hand-v1"
HAND_VERTICES = 778
VALUES = 256  # classes that a table knows; what it says nothing of stays, e.g. the class of absent samples


@cache
def table(flip: str, device: torch.device) -> Tensor:
    """Return what each class, joint or vertex becomes, int64.

    Args:
        flip: a joint set, a set of classes or a body; see `bench.dataset.Field`.
        device: of the table.

    Raises:
        ConfigError: unknown.
    """
    if flip in CLASSES:
        whole = torch.arange(VALUES)
        whole[: len(CLASSES[flip])] = torch.from_numpy(CLASSES[flip].astype("int64"))
        return whole.to(device)
    if flip in JOINT_SETS:
        return torch.tensor(JOINT_SETS[flip].flip, device=device)
    if flip == BODY:
        from bench.bodymodels.model import surrogate_body

        mirror = surrogate_body().mirror
        assert mirror is not None
        return torch.from_numpy(mirror.astype("int64")).to(device)
    if flip == HAND:  # the mirror image of a hand is the other hand, whose vertices have the same numbers
        return torch.arange(HAND_VERTICES, device=device)
    known = [*CLASSES, *JOINT_SETS, BODY, HAND]
    raise ConfigError(f'nobody knows what mirroring "{flip}" swaps.{nearest(flip, known)}')
