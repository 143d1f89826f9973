"""From one vector per image to a 3D skeleton, and the adversary that judges skeletons.

Layers as in LiftedCL's released code.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bench.bodymodels.joints import joint_set
from bench.losses.kcs import JOINT_SET, kinematic_chain
from bench.losses.numerics import HALF

JOINTS = len(joint_set(JOINT_SET))
SLOPE = 0.2  # of the leaky ReLUs
LIFTING_WIDTH = 512
PATH_WIDTH = 256  # of each path of the adversary
JUDGE_WIDTH = 128


class LiftingHead(nn.Module):
    """Vectors (N, P) -> joints (N, 17, 3), in the units of the skeletons that it is taught by."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, LIFTING_WIDTH),
            nn.LeakyReLU(SLOPE),
            ResidualBlock(LIFTING_WIDTH),
            nn.Linear(LIFTING_WIDTH, JOINTS * 3),
        )

    def forward(self, pooled: Tensor) -> Tensor:
        """Return joints, (N, 17, 3), float32 at least."""
        flat: Tensor = self.layers(pooled)
        return (flat.float() if flat.dtype in HALF else flat).view(-1, JOINTS, 3)


class Adversary(nn.Module):
    """Scores skeletons (N, 17, 3): two paths, one from positions, one from the kinematic chain space."""

    bones: Tensor

    def __init__(self, bones: Tensor) -> None:
        """Size the layers.

        Args:
            bones: (b, 17), of `bone_matrix`.
        """
        super().__init__()
        self.register_buffer("bones", bones, persistent=False)
        self.positions = self._path(JOINTS * 3)
        self.chain = self._path(len(bones) ** 2)
        self.judge = nn.Sequential(
            nn.Linear(2 * PATH_WIDTH, JUDGE_WIDTH), nn.LeakyReLU(SLOPE), nn.Linear(JUDGE_WIDTH, 1)
        )

    def forward(self, skeletons: Tensor) -> Tensor:
        """Return one score per skeleton, (N,)."""
        chain = kinematic_chain(skeletons, self.bones)
        seen = [self.positions(skeletons.flatten(1)), self.chain(chain.flatten(1))]
        score: Tensor = self.judge(torch.cat(seen, 1))[:, 0]
        return score

    def frozen(self, skeletons: Tensor) -> Tensor:
        """Return the same scores; their gradient reaches the skeletons and no weight of the adversary."""
        weights: Mapping[str, Tensor] = {name: p.detach() for name, p in self.named_parameters()}
        score: Tensor = functional_call(self, dict(weights), (skeletons,))
        return score

    @staticmethod
    def _path(inputs: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(inputs, PATH_WIDTH), nn.LeakyReLU(SLOPE), ResidualBlock(PATH_WIDTH))


class ResidualBlock(nn.Module):
    """x -> leaky ReLU of x plus two layers of it; no normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        self.activation = nn.LeakyReLU(SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width) to (N, width)."""
        out: Tensor = self.activation(x + self.second(self.activation(self.first(x))))
        return out
