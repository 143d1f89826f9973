"""The 21 joints of posed hands."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from bench.bodymodels.joints import JOINT_SETS
from bench.bodymodels.model import BodyModel, surrogate_hand
from bench.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    Points = TypeVar("Points", NDArray[np.float32], NDArray[np.float64], Tensor)
else:
    Points = TypeVar("Points")


@cache
def hand_places(model: BodyModel) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Where the joints of `hand21` come from.

    Returns:
        Vertices of the five tips, and for each of the 21 joints its place in the 16 joints of `mano16` and,
        behind them, these tips.

    Raises:
        DataError: the model is no hand of 16 joints with five named finger tips.
    """
    wanted, have = JOINT_SETS["hand21"].names, JOINT_SETS["mano16"].names
    tips = [name for name in wanted if name.endswith(" tip")]
    marks = model.landmarks or {}
    if len(model.parents) != len(have) or not set(tips) <= set(marks):
        raise DataError(
            f"{model.name} has {len(model.parents)} joints and the landmarks {', '.join(marks) or 'none'};"
            f" a hand has {len(have)} joints and the landmarks {', '.join(tips)}"
        )
    place = {name: index for index, name in enumerate((*have, *tips))}
    return tuple(marks[tip] for tip in tips), tuple(place[name] for name in wanted)


def hand_joints(vertices: Points, joints: Points, model: BodyModel | None = None) -> Points:
    """Joints of posed hands in the order of `hand21`: the 16 joints of the model and five finger tips.

    Args:
        vertices: numpy or torch, (..., V, 3).
        joints: of the same kind, (..., 16, 3), in the order of `mano16`.
        model: the hand; None = `surrogate_hand()`.

    Returns:
        (..., 21, 3), differentiable where the arguments are.

    Raises:
        DataError: the model is no hand with named finger tips.
    """
    tips, order = map(list, hand_places(surrogate_hand() if model is None else model))
    if isinstance(vertices, np.ndarray):
        return cast(Points, np.concatenate([joints, vertices[..., tips, :]], -2)[..., order, :])
    import torch

    return torch.cat([joints, vertices[..., tips, :]], -2)[..., order, :]
