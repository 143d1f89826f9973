"""The body model in torch: batched and differentiable in shape, pose and place."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from bench.bodymodels.model import BodyModel


class TorchBody(nn.Module):
    """Blend skinning of a `BodyModel` (SMPL, ACM TOG 34(6), Eqs. 2-9); agrees with `BodyModel.pose`."""

    v_template: Tensor
    shapedirs: Tensor
    posedirs: Tensor
    joint_template: Tensor
    joint_shapedirs: Tensor
    weights: Tensor

    def __init__(self, model: BodyModel, vertices: ArrayLike | None = None) -> None:
        """Copy the arrays.

        Args:
            model: the body.
            vertices: numbers of those that are posed, in this order, (V',); None = all V.
        """
        super().__init__()
        chosen = np.arange(len(model.v_template)) if vertices is None else np.asarray(vertices, np.int64)
        self.parents = [int(parent) for parent in model.parents]
        regressor = model.joint_regressor
        template = regressor @ model.v_template.astype(np.float64)  # (J, 3)
        directions = np.stack(
            [regressor @ model.shapedirs[:, axis].astype(np.float64) for axis in range(3)], 1
        )
        arrays = {
            "v_template": model.v_template[chosen],  # (V', 3)
            "shapedirs": model.shapedirs[chosen],  # (V', 3, B)
            "posedirs": model.posedirs[(3 * chosen[:, None] + np.arange(3)).ravel()].toarray().T,
            "joint_template": template,
            "joint_shapedirs": directions,  # (J, 3, B)
            "weights": model.weights[chosen],  # (V', J)
        }
        for name, array in arrays.items():
            self.register_buffer(name, torch.tensor(array, dtype=torch.float32), persistent=False)

    def forward(
        self, betas: Tensor, rotations: Tensor, translation: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Pose a batch of bodies.

        Args:
            betas: shape coefficients, (N, B') with B' <= B.
            rotations: local joint rotations, (N, J, 3, 3).
            translation: added at the end, metres, (N, 3).

        Returns:
            Vertices (N, V', 3) and joints (N, J, 3), metres.
        """
        rest = self._rest_joints(betas)
        turned, placed = self._chain(rotations, rest)
        posed = (
            self._skinned(betas, rotations, rest, turned, placed) if len(self.v_template) else placed[:, :0]
        )
        if translation is None:
            return posed, placed
        return posed + translation[:, None], placed + translation[:, None]

    def _skinned(
        self, betas: Tensor, rotations: Tensor, rest: Tensor, turned: Tensor, placed: Tensor
    ) -> Tensor:
        """Posed vertices (N, V', 3), of joints at rest and posed (N, J, 3) and global rotations."""
        used = betas.shape[1]
        vertices = self.v_template + torch.einsum("vdb,nb->nvd", self.shapedirs[..., :used], betas)
        identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        feature = (rotations[:, 1:] - identity).flatten(1)  # (N, 9 (J - 1))
        vertices = vertices + (feature @ self.posedirs).reshape(len(feature), -1, 3)
        moved = placed - torch.einsum("njik,njk->nji", turned, rest)
        transforms = torch.cat([turned, moved[..., None]], 3)  # (N, J, 3, 4)
        blended = torch.einsum("vj,njab->nvab", self.weights, transforms)  # (N, V, 3, 4)
        return torch.einsum("nvab,nvb->nva", blended[..., :3], vertices) + blended[..., 3]

    def joints(self, betas: Tensor, rotations: Tensor) -> Tensor:
        """Return the posed joints alone, (N, J, 3), which need no vertex."""
        return self._chain(rotations, self._rest_joints(betas))[1]

    def _rest_joints(self, betas: Tensor) -> Tensor:
        directions = self.joint_shapedirs[..., : betas.shape[1]]
        return self.joint_template + torch.einsum("jdb,nb->njd", directions, betas)

    def _chain(self, rotations: Tensor, joints: Tensor) -> tuple[Tensor, Tensor]:
        """Global rotations (N, J, 3, 3) and posed joints (N, J, 3)."""
        turned, placed = [rotations[:, 0]], [joints[:, 0]]
        for joint, parent in enumerate(self.parents[1:], start=1):
            bone = joints[:, joint] - joints[:, parent]
            placed.append(placed[parent] + torch.einsum("nik,nk->ni", turned[parent], bone))
            turned.append(turned[parent] @ rotations[:, joint])
        return torch.stack(turned, 1), torch.stack(placed, 1)
