"""Body mesh without pose and shape: joints and coarse vertices by a transformer (METRO, arXiv:2012.09760)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from bench.api import Batch, DataInfo, FeatureInfo, Outputs, Stats
from bench.bodymodels.coarse import coarse_mesh
from bench.bodymodels.lbs_torch import TorchBody
from bench.bodymodels.rotations_torch import axis_angle_to_matrix
from bench.errors import ConfigError
from bench.heads.mesh_transformer import MeshTransformer
from bench.losses.mesh import project_exactly, project_weakly
from bench.settings import Count, Decay, NotNegative
from tasks.body_mesh import MeshConfig, MeshTask

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyMeshFreeConfig(MeshConfig):
    coarse: Annotated[int, Meta(ge=12)] = 431  # vertices that are predicted
    widths: Annotated[tuple[Count, ...], Meta(min_length=1)] = (1024, 256, 128)  # of the transformers
    layers: Count = 4  # of each
    heads: Count = 4
    dropout: Decay = 0.1
    masked: Decay = 0.3  # largest share of queries that are hidden in training
    joints_weight: NotNegative = 1000.0  # absolute error of joints, predicted and regressed from the mesh
    vertices_weight: NotNegative = 33.0  # absolute error of vertices, coarse and some of the others
    keypoints_weight: NotNegative = 100.0  # absolute error of projected joints, half images

    def __post_init__(self) -> None:
        """Check that heads share the widths.

        Raises:
            ConfigError: they do not.
        """
        for width in self.widths:
            if width % self.heads:
                raise ConfigError(f"widths: {width} is no multiple of the {self.heads} heads")


class BodyMeshFree(MeshTask):
    """14 joints and C coarse vertices from a transformer; all others follow by a fixed linear map.

    Absolute errors with METRO's weights. Its three levels of vertices are two here: the coarse ones, and
    those of the full mesh that the joints are regressed from. Scores take the joints of the full mesh.
    """

    Config = BodyMeshFreeConfig

    def __init__(self, cfg: Any, data: DataInfo) -> None:
        super().__init__(cfg, data)
        self.coarse = coarse_mesh(self.model, cfg.coarse)
        rows = self.evaluated
        self.used = np.unique(rows.indices)  # vertices that joints are made of
        self.rows = torch.tensor(rows[:, self.used].toarray(), dtype=torch.float32)  # (15, used)
        matrix = self.coarse.upsampling[self.used].toarray()
        self.upsampling = torch.tensor(matrix, dtype=torch.float32)  # (used, C)

    @cached_property
    def trained_body(self) -> TorchBody:
        """The vertices that the loss needs: coarse ones, then those that joints are made of."""
        return TorchBody(self.model, np.concatenate([self.coarse.vertices, self.used]))

    def placed(self, betas: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what is to be predicted of bodies, in their own frame, metres.

        Returns:
            Coarse vertices (N, C, 3), those that joints are made of (N, U, 3), the evaluated pelvis (N, 1, 3)
            and the 14 joints (N, 14, 3).
        """
        vertices = self.trained_body.to(betas.device)(betas, rotations)[0]
        count = len(self.coarse.vertices)
        coarse, used = vertices[:, :count], vertices[:, count:]
        joints = self.rows.to(betas.device) @ used
        return coarse, used, joints[:, :1], joints[:, 1:]

    def head(self, info: FeatureInfo) -> nn.Module:
        pose = torch.tensor(self.start.rotations, dtype=torch.float32)[None]
        coarse, _, root, joints = self.placed(torch.zeros(1, self.model.shapedirs.shape[2]), pose)
        cfg, template = self.cfg, (torch.cat([joints, coarse], 1) - root)[0]
        return MeshTransformer(
            info, self.data.size, template, cfg.widths, cfg.layers, cfg.heads, cfg.dropout, cfg.masked
        )

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        cfg, points, camera = self.cfg, out["points"].float(), out["camera"].float()
        betas, rotations = batch["betas"], axis_angle_to_matrix(batch["rotations"])
        coarse, used, root, joints = self.placed(betas, rotations)
        found_joints, found = points[:, : joints.shape[1]], points[:, joints.shape[1] :]
        found_used = self.upsampling.to(points.device) @ found
        regressed = self.rows.to(points.device) @ found_used
        found_used, regressed = found_used - regressed[:, :1], (regressed - regressed[:, :1])[:, 1:]
        own = self.trained_body.joints(betas, rotations)[:, :1]  # the body's own pelvis, which labels place
        seen = project_exactly(joints - own + batch["joints3d"][:, :1, :3], batch["camera"], self.data.size)
        both = [found_joints, regressed]
        return {
            "joints": cfg.joints_weight * sum_of(F.l1_loss(j, joints - root) for j in both),
            "vertices": cfg.vertices_weight
            * (F.l1_loss(found, coarse - root) + F.l1_loss(found_used, used - root)),
            "keypoints": cfg.keypoints_weight
            * sum_of(F.l1_loss(project_weakly(j, camera), seen) for j in both),
        }

    def predict(self, out: Outputs, batch: Batch) -> Stats:
        """Return the coarse `vertices` (N, C, 3) and the `camera` (N, 3); the others are made for scoring."""
        coarse = out["points"][:, -len(self.coarse.vertices) :]
        return {"vertices": coarse.float().cpu().numpy(), "camera": out["camera"].float().cpu().numpy()}

    def encoded(self, rotations: Tensor, betas: Tensor) -> Stats:
        coarse, _, root, _ = self.placed(betas, rotations)
        return {"vertices": (coarse - root).numpy()}

    def vertices(self, predicted: Stats) -> Floats:
        found = predicted["vertices"].astype(np.float64)
        return np.stack([self.coarse.upsampling @ one for one in found])


def sum_of(terms: Iterable[Tensor]) -> Tensor:
    """Add up scalars."""
    return torch.stack([*terms]).sum()
