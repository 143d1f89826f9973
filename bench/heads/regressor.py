"""Iterative regression of body parameters from one vector (HMR, arXiv:1712.06584, Sec. 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bench.api import Features, Outputs
from bench.bodymodels.mean_pose import MeanState
from bench.bodymodels.rotations_torch import matrix_to_6d

BETAS = 10
GAIN = 0.01  # of the fresh residual layers: the first outputs are the mean, nearly


class IterativeRegressor(nn.Module):
    """Start at a mean state and add what two layers see wrong with it, a few times.

    As in SPIN's official code there is no nonlinearity between the layers; the iteration is what bends.
    """

    mean: Tensor

    def __init__(
        self,
        inputs: int,
        mean: Tensor,
        parts: Sequence[int],
        hidden: int = 1024,
        iterations: int = 3,
        dropout: float = 0.5,
    ) -> None:
        """Create the layers.

        Args:
            inputs: D, width of the vector.
            mean: state to start from, (S,).
            parts: sizes of the parts of the state, each with a residual layer of its own; their sum is S.
            hidden: width of both layers.
            iterations: how often residuals are added.
            dropout: after each of the layers.
        """
        super().__init__()
        self.iterations = iterations
        self.register_buffer("mean", mean.clone(), persistent=False)
        self.layers = nn.Sequential(
            nn.Linear(inputs + len(mean), hidden), nn.Dropout(dropout), nn.Linear(hidden, hidden),
            nn.Dropout(dropout),
        )  # fmt: skip
        self.residuals = nn.ModuleList(nn.Linear(hidden, size) for size in parts)
        for layer in self.residuals:
            nn.init.xavier_uniform_(layer.get_parameter("weight"), gain=GAIN)
            nn.init.zeros_(layer.get_parameter("bias"))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, D) to the state after the last iteration, (N, S)."""
        state = self.mean.to(x.dtype).expand(len(x), -1)
        for _ in range(self.iterations):
            seen = self.layers(torch.cat([x, state], 1))
            state = state + torch.cat([layer(seen) for layer in self.residuals], 1)
        return state


class BodyRegressor(nn.Module):
    """Pose in six numbers per joint, shape and weak-perspective camera of a body, or of a hand."""

    def __init__(
        self, inputs: int, start: MeanState, hidden: int = 1024, iterations: int = 3, dropout: float = 0.5
    ) -> None:
        """Create the regressor.

        Args:
            inputs: D, width of the vector.
            start: mean pose of the J joints, and scale of the camera.
            hidden: width of both layers.
            iterations: how often residuals are added.
            dropout: after each of the layers.
        """
        super().__init__()
        pose = matrix_to_6d(torch.tensor(start.rotations, dtype=torch.float32)).flatten()
        camera = torch.tensor([start.scale, 0.0, 0.0])
        self.parts = (len(pose), BETAS, len(camera))
        mean = torch.cat([pose, torch.zeros(BETAS), camera])
        self.regressor = IterativeRegressor(inputs, mean, self.parts, hidden, iterations, dropout)

    def regress(self, x: Tensor) -> Outputs:
        """Map vectors (N, D) to `pose` (N, J, 6), `betas` (N, 10) and `camera` (N, 3): scale, x, y."""
        pose, betas, camera = self.regressor(x).split(self.parts, 1)
        return {"pose": pose.unflatten(1, (-1, 6)), "betas": betas, "camera": camera}

    def forward(self, features: Features, size: tuple[int, int]) -> Outputs:
        """Regress from the mean of the output tokens, or from the pooled vector where there are none."""
        return self.regress(features.pooled if features.tokens is None else features.tokens.mean(1))
