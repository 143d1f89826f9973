"""Mesh of a right hand from one picture: the regressor of `body_mesh` on MANO's 16 joints (FreiHAND's task).

CroCo-Hand (arXiv:2311.09104) fine-tunes so on FreiHAND and names no weights of the loss. Those of the body
are taken, and vertices beside them; 2D and 3D joints count a tenth, since hands turn any way: at the start
their errors are as large as hands are, and the head bends fingers to make up for a wrong view.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.api import DataInfo, Metric, Stats
from bench.bodymodels.hands import hand_joints, hand_places
from bench.bodymodels.lbs_torch import TorchBody
from bench.bodymodels.mean_pose import MeanState, mean_hand
from bench.bodymodels.model import BodyModel, surrogate_hand
from bench.bodymodels.rotations_torch import matrix_from_6d
from bench.errors import DataError
from bench.metrics.hand_mesh import hand_errors
from bench.metrics.pose3d import position_errors
from tasks.body_mesh import BodyMesh, BodyMeshConfig

Floats = NDArray[np.float64]

APART = 0.03  # metres that a labelled joint may be off the hand's own; a left hand is off by far more


@dataclass(frozen=True, slots=True, kw_only=True)
class HandMeshConfig(BodyMeshConfig):
    """Settings are those of bodies."""

    def unmirrored(self) -> str:
        return "a mirrored right hand is a left one, which the model is not"


class HandMesh(BodyMesh):
    """As `BodyMesh`, of a hand: 21 joints, 16 of the model and five finger tips, the wrist as the root.

    Errors are those of `bench.metrics.hand_mesh`. Hands are right ones; the mirror would make left ones.
    """

    Config = HandMeshConfig
    joint_set = "hand21"
    unit = 0.1  # a hand is a tenth of a body, so that weights of the loss and rates mean the same
    metrics: ClassVar[tuple[Metric, ...]] = (
        *(
            Metric(name=name, unit="mm", higher_is_better=False)
            for name in ("pa_mpjpe", "pa_mpvpe", "mpjpe", "mpvpe")
        ),
        *(
            Metric(name=f"{aligned}{name}")
            for name in ("f5", "f15", "auc", "auc_mesh")
            for aligned in ("pa_", "")
        ),
    )

    def __init__(self, cfg: Any, data: DataInfo) -> None:
        super().__init__(cfg, data)
        hand_places(self.model)  # refuses what is no hand

    def body_model(self) -> BodyModel:
        return surrogate_hand()

    def mean_state(self) -> MeanState:
        return mean_hand()

    @cached_property
    def trained_body(self) -> TorchBody:
        """The whole hand, whose tips are joints of the loss."""
        return TorchBody(self.model)

    def placed(self, body: TorchBody, betas: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor]:
        vertices, joints = body(betas, rotations)
        return vertices, hand_joints(vertices, joints, self.model)

    def errors(self, predicted: Stats, truth: Stats) -> dict[str, Floats]:
        betas, pose = (torch.from_numpy(predicted[name]) for name in ("betas", "pose"))
        found, joints = self.placed(self.body, betas, matrix_from_6d(pose))
        wanted, true_joints = self.placed(self.body, *self.parameters(truth))
        check_side(true_joints.numpy(), truth["joints3d"])
        return hand_errors(found.numpy(), wanted.numpy(), joints.numpy(), true_joints.numpy())


def check_side(joints: NDArray[Any], labelled: NDArray[Any]) -> None:
    """Make sure that labelled joints are those of the hand that pose and shape give, (n, 21, 3) each.

    Raises:
        DataError: they are not, as those of a left hand; names the sample.
    """
    off = position_errors(joints - joints[:, :1], labelled[..., :3] - labelled[:, :1, :3]).max(1)
    bad = np.flatnonzero(~(off <= APART))
    if len(bad):
        raise DataError(
            f"joints3d of sample {bad[0]} of {len(off)} are {1000 * off[bad[0]]:.0f} mm from those that "
            "rotations and betas give a right hand; is it a left one, or is the order of joints another one?"
        )
