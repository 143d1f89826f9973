"""Body mesh from one picture by regressing pose and shape: SPIN's head (arXiv:1909.12828) on any encoder.

CroCo-Body (arXiv:2311.09104) and LiftedCL fine-tune so on COCO-EFT and test on 3DPW. Neither names weights of
the loss; those of SPIN's official code, which EFT keeps, are taken.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional as F

from bench.api import Batch, DataInfo, FeatureInfo, Metric, Outputs, Stats, Task
from bench.bodymodels.lbs_torch import TorchBody
from bench.bodymodels.mean_pose import MeanState, mean_body
from bench.bodymodels.model import BodyModel, surrogate_body
from bench.bodymodels.rotations_torch import axis_angle_to_matrix, matrix_from_6d, matrix_to_6d
from bench.drawing import enlargement
from bench.errors import ConfigError, DataError
from bench.heads.regressor import BodyRegressor
from bench.losses.mesh import project_exactly, project_weakly, scale_penalty
from bench.metrics.mesh import evaluation_joints, mesh_errors
from bench.metrics.weighted import weighted_sums
from bench.settings import Count, Decay, NotNegative

Floats = NDArray[np.float64]

FIELDS = ("rotations", "betas", "joints3d", "camera")  # what the data must have
PART = 32  # meshes that are made at once
SHOWN = 240  # pixels of a drawn picture, at least


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshConfig:
    """What the settings of all tasks of body meshes check."""

    def check(self, *, fields: list[str], augment: Mapping[str, Any], where: str) -> None:
        """Check that the data have bodies, and that these stay what they are.

        Raises:
            ConfigError: they lack a field, or are mirrored where that makes labels wrong.
        """
        for name in FIELDS:
            if fields and name not in fields:
                raise ConfigError(f"{where}: meshes need the field {name}, which these data do not have")
        if augment["flip"] and (why := self.unmirrored()):
            raise ConfigError(f"{where.removesuffix('.config')}.augment.flip=true: {why}; set flip=false")

    def unmirrored(self) -> str:
        """Return why samples must not be mirrored, "" where they may."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyMeshConfig(MeshConfig):
    hidden: Count = 1024  # width of the regressor's layers
    iterations: Count = 3
    dropout: Decay = 0.5
    keypoints_weight: NotNegative = 300.0  # squared error of projected joints, half images
    joints_weight: NotNegative = 300.0  # squared error of 3D joints about the root, in units of the task
    pose_weight: NotNegative = 60.0  # squared error of rotation matrices
    shape_weight: NotNegative = 0.06  # squared error of shape coefficients
    camera_weight: NotNegative = 60.0  # keeps the scale of the camera positive
    vertices_weight: NotNegative = 0.0  # absolute error of vertices about the root, likewise; 0 as in SPIN


class MeshTask(Task):
    """What all tasks of meshes share: truth, scores, what no image and a flawless network reach.

    Errors are those of `bench.metrics.mesh`: 14 joints that the body's own rules find on both meshes, the
    pelvis as the root, every sample counted once. The truth is the body that `rotations` and `betas` give.
    A task of another body, such as a hand, names its joint set, its model, its mean and its errors.
    """

    joint_set: ClassVar[str] = "smpl24"  # of `joints3d`, the root first
    unit: ClassVar[float] = 1.0  # metres, of lengths in the loss and of the weak-perspective camera
    targets = FIELDS
    metrics: ClassVar[tuple[Metric, ...]] = tuple(
        Metric(name=name, unit="mm", higher_is_better=False)
        for name in ("pa_mpjpe", "mpjpe", "mpvpe", "pa_mpvpe")
    )

    def __init__(self, cfg: Any, data: DataInfo) -> None:
        """Check that the data are of bodies like ours.

        Raises:
            ConfigError: their joints are other ones, or the mean pose is that of another model.
        """
        super().__init__(cfg, data)
        if data.joint_set != self.joint_set:
            raise ConfigError(
                f"meshes need data with joints {self.joint_set}; these have {data.joint_set or 'none'}"
            )
        self.model, self.start = self.body_model(), self.mean_state()
        if len(self.model.parents) != len(self.start.rotations):
            raise ConfigError(
                f"{self.model.name} has {len(self.model.parents)} joints, "
                f"its mean pose {len(self.start.rotations)}"
            )

    def body_model(self) -> BodyModel:
        """Return the body whose pose and shape the labels are."""
        return surrogate_body()

    def mean_state(self) -> MeanState:
        """Return where predictions start."""
        return mean_body()

    @cached_property
    def body(self) -> TorchBody:
        """The whole body, on the CPU."""
        return TorchBody(self.model)

    @abstractmethod
    def encoded(self, rotations: Tensor, betas: Tensor) -> Stats:
        """Return what `predict` would give, but for the camera, for rotations (n, J, 3, 3) and betas."""

    @abstractmethod
    def vertices(self, predicted: Stats) -> Floats:
        """Return the predicted meshes, wherever they are in space, (n, V, 3), metres."""

    def true_vertices(self, truth: Stats) -> tuple[Floats, Floats]:
        """Return true meshes (n, V, 3) and roots (n, 1, 3) in the frame of the body, metres.

        Raises:
            DataError: the labels are those of another body, or not all numbers.
        """
        vertices, joints = self.body(*self.parameters(truth))
        return vertices.double().numpy(), joints[:, :1].double().numpy()

    def oracle_prediction(self, truth: Stats) -> Stats:
        betas, rotations = self.parameters(truth)
        return {**self.encoded(rotations, betas), "camera": fitted_cameras(truth, self.data.size, self.unit)}

    def ceiling_prediction(self, truth: Stats, info: FeatureInfo) -> Stats:
        return self.oracle_prediction(truth)

    def floor_prediction(self, seen: Stats, n: int) -> Stats:
        """Return the mean pose (of rotation matrices, made orthogonal) and the mean shape."""
        betas, rotations = self.parameters(seen)
        u, _, vt = torch.linalg.svd(rotations.mean(0))
        sign = torch.ones(len(u), 1, 3)
        sign[:, 0, 2] = torch.linalg.det(u @ vt)
        mean = self.encoded(((u * sign) @ vt)[None], betas.mean(0, keepdim=True))
        camera = np.array([[self.start.scale, 0, 0]], np.float32)
        return {name: values.repeat(n, 0) for name, values in {**mean, "camera": camera}.items()}

    def score_samples(self, predicted: Stats, truth: Stats) -> Stats:
        """Return the errors of each sample; meshes are made part by part."""
        count = len(truth["rotations"])
        parts = []
        for start in range(0, max(1, count), PART):
            found, wanted = ({k: v[start : start + PART] for k, v in s.items()} for s in (predicted, truth))
            parts.append(self.errors(found, wanted))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def errors(self, predicted: Stats, truth: Stats) -> dict[str, Floats]:
        """Return the `metrics` of each sample, (n,) each; the meshes of all of them are made at once."""
        joints = self.evaluated
        return mesh_errors(self.vertices(predicted), self.true_vertices(truth)[0], joints)

    @cached_property
    def evaluated(self) -> sparse.csr_array:
        """The matrix from vertices to the joints that are evaluated."""
        return evaluation_joints(self.model)

    def parameters(self, truth: Stats) -> tuple[Tensor, Tensor]:
        """Return betas (n, 10) and rotations (n, J, 3, 3) of stored labels.

        Raises:
            DataError: they are those of another body, or not all numbers; names field and sample.
        """
        sizes = {"rotations": (len(self.model.parents), 3), "betas": (self.model.shapedirs.shape[2],)}
        for name, shape in sizes.items():
            check_shape(name, truth[name].shape[1:], shape, self.model.name)
            bad = np.flatnonzero(~np.isfinite(truth[name]).reshape(len(truth[name]), -1).all(1))
            if len(bad):
                raise DataError(
                    f"{name} of sample {bad[0]} of {len(truth[name])} hold NaN or infinite values"
                )
        betas, vectors = (torch.from_numpy(truth[name].astype(np.float32)) for name in ("betas", "rotations"))
        return betas, axis_angle_to_matrix(vectors)

    def aggregate(self, rows: Stats, weights: Floats) -> dict[str, Floats]:
        total = np.maximum(1, weights.sum(-1))
        return {name: values / total for name, values in weighted_sums(rows, weights).items()}

    def draw(self, predicted: Stats, truth: Stats, images: Stats) -> Mapping[str, NDArray[np.uint8]]:
        from bench.synth.overlay import overlay  # loads numba, which training does not need

        pictures = images["rgb"]
        size = pictures.shape[1], pictures.shape[2]
        zoom = enlargement(size, SHOWN)
        found, camera = self.vertices(predicted), torch.from_numpy(predicted["camera"])
        places = project_weakly(torch.from_numpy(found).float() / self.unit, camera).double().numpy()
        wanted, pelvis = self.true_vertices(truth)
        wanted = wanted - pelvis + truth["joints3d"][:, :1, :3]
        lens = torch.from_numpy(truth["camera"]).float()
        seen = project_exactly(torch.from_numpy(wanted).float(), lens, size)
        far = np.array([0.0, 0.0, 10.0])  # in front of the camera; a weak one sees no difference
        rows: dict[str, list[NDArray[np.uint8]]] = {"picture": [], "true mesh": [], "predicted mesh": []}
        for k, picture in enumerate(pictures):
            rows["picture"].append(picture.repeat(zoom, 0).repeat(zoom, 1))
            for title, vertices, half in (
                ("true mesh", wanted[k], seen[k].double().numpy()),
                ("predicted mesh", found[k] + far, places[k]),
            ):
                pixels = half * max(size) / 2 + np.array([size[1] / 2, size[0] / 2])
                rows[title].append(overlay(picture, vertices, pixels, self.model.faces, zoom))
        return {title: np.stack(row) for title, row in rows.items()}


class BodyMesh(MeshTask):
    """Three iterations from the mean; squared errors of 6D rotations, shape, 3D and 2D joints."""

    Config = BodyMeshConfig

    @cached_property
    def trained_body(self) -> TorchBody:
        """The body of the loss: its joints alone, unless vertices count."""
        return TorchBody(self.model, None if self.cfg.vertices_weight else [])

    def head(self, info: FeatureInfo) -> nn.Module:
        return self.regressor(info.pooled)

    def regressor(self, inputs: int) -> BodyRegressor:
        """Return a fresh head on vectors of so many numbers."""
        cfg = self.cfg
        return BodyRegressor(inputs, self.start, cfg.hidden, cfg.iterations, cfg.dropout)

    def placed(self, body: TorchBody, betas: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vertices of a body and the joints that `joints3d` hold, (N, V, 3) and (N, J, 3)."""
        vertices, joints = body(betas, rotations)
        return vertices, joints

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        cfg, body = self.cfg, self.trained_body.to(out["pose"].device)
        pose, betas, camera = (out[name].float() for name in ("pose", "betas", "camera"))
        check_shape("rotations", batch["rotations"].shape[1:], (len(body.parents), 3), self.model.name)
        rotations, wanted = matrix_from_6d(pose), axis_angle_to_matrix(batch["rotations"])
        vertices, joints = self.placed(body, betas, rotations)
        true_joints = batch["joints3d"][..., :3]
        vertices = (vertices - joints[:, :1]) / self.unit
        joints, true_joints = (j - j[:, :1] for j in (joints, true_joints))
        joints, true_joints = joints / self.unit, true_joints / self.unit
        seen = project_exactly(batch["joints3d"][..., :3], batch["camera"], self.data.size)
        terms = {
            "keypoints": cfg.keypoints_weight * F.mse_loss(project_weakly(joints, camera), seen),
            "joints": cfg.joints_weight * F.mse_loss(joints, true_joints),
            "pose": cfg.pose_weight * F.mse_loss(rotations, wanted),
            "shape": cfg.shape_weight * F.mse_loss(betas, batch["betas"]),
            "camera": cfg.camera_weight * scale_penalty(camera),
        }
        if cfg.vertices_weight:
            true_vertices, placed = self.placed(body, batch["betas"], wanted)
            true_vertices = (true_vertices - placed[:, :1]) / self.unit
            terms["vertices"] = cfg.vertices_weight * F.l1_loss(vertices, true_vertices)
        return terms

    def predict(self, out: Outputs, batch: Batch) -> Stats:
        """Return `pose` (N, J, 6), `betas` (N, 10), `camera` (N, 3); scoring makes meshes of them."""
        return {name: out[name].float().cpu().numpy() for name in ("pose", "betas", "camera")}

    def encoded(self, rotations: Tensor, betas: Tensor) -> Stats:
        return {"pose": matrix_to_6d(rotations).numpy(), "betas": betas.numpy()}

    def vertices(self, predicted: Stats) -> Floats:
        rotations = matrix_from_6d(torch.from_numpy(predicted["pose"]))
        vertices, joints = self.body(torch.from_numpy(predicted["betas"]), rotations)
        found: Floats = (vertices - joints[:, :1]).double().numpy()
        return found


def check_shape(name: str, found: Sequence[int], wanted: Sequence[int], model: str) -> None:
    """Make sure that labels are those of the body.

    Raises:
        DataError: they are not.
    """
    if tuple(found) != tuple(wanted):
        raise DataError(
            f"{name} of shape {tuple(found)} do not fit {model}, which needs {tuple(wanted)}; "
            "are they of another body model?"
        )


def fitted_cameras(truth: Stats, size: tuple[int, int], unit: float) -> NDArray[np.float32]:
    """Return the weak-perspective cameras that see the true joints best, (n, 3); `unit` is in metres."""
    joints, intrinsics = (torch.from_numpy(truth[n].astype(np.float32)) for n in ("joints3d", "camera"))
    places = project_exactly(joints[..., :3], intrinsics, size)
    flat = (joints[..., :2] - joints[:, :1, :2]) / unit
    middle, target = flat.mean(1, keepdim=True), places.mean(1, keepdim=True)
    x, y = flat - middle, places - target
    scale = (x * y).sum((1, 2)) / x.square().sum((1, 2))
    shift = target[:, 0] / scale[:, None] - middle[:, 0]
    return torch.cat([scale[:, None], shift], 1).numpy()
