"""3D pose of a person in a colour crop: volumetric soft-argmax, MPJPE and PA-MPJPE, as on Human3.6M.

The head is that of integral regression (Sun et al., arXiv:1711.08229). LiftedCL (Chen et al., 2023) names no
head for this task, so it is a design choice. The frame is the camera's: x to the right, y down, z away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.api import Batch, DataInfo, FeatureInfo, Metric, Outputs, Stats, Task
from bench.bodymodels.joints import joint_set, root_of
from bench.bodymodels.pinhole import back_project, focal, project
from bench.data.batches import inside as inside_crop
from bench.drawing import skeletons
from bench.errors import ConfigError, DataError
from bench.heads.heatmap import STRIDE, HeatmapKind, heatmap_cells
from bench.heads.volumetric import VolumetricHead
from bench.losses.numerics import in_float32
from bench.metrics.keypoints import mean_places
from bench.metrics.pose3d import aligned_rows, mean_error, root_relative_rows
from bench.metrics.weighted import weighted_sums
from bench.settings import Count, Positive

Floats = NDArray[np.float64]

MM = 1000.0
NEAREST = 0.05  # of the root's depth: no joint is closer to the camera


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose3DConfig:
    head: HeatmapKind = "deconv"  # of the volumes: as in pose2d; "finest" for HRNet; "linear"
    width: Count | None = None  # channels inside the head; null follows the encoder, at most 256
    bins: Count | None = None  # cells in depth; null = as many as pixels of width over 4
    depth_extent: Positive = 2.0  # of the volume in depth, in widths of the crop

    def check(self, *, joint_set: str, fields: list[str], where: str) -> None:
        """Refuse data without 3D joints or without a root.

        Raises:
            ConfigError: they lack joints, 3D joints or intrinsics, or the joint set has no hips.
        """
        from bench.bodymodels.joints import root_of as find_root

        need_joints3d(joint_set, fields, where)
        find_root(joint_set)


def need_joints3d(joint_set: str, fields: list[str], where: str) -> None:
    """Refuse data without what a 3D pose is learned from; `fields` as `Config.check` gets them.

    Raises:
        ConfigError: they lack joints, 3D joints or intrinsics.
    """
    if not joint_set:
        raise ConfigError(f"{where}: the data have no joints, which a 3D pose needs; choose other data")
    lacking = [name for name in ("joints3d", "camera") if fields and name not in fields]
    if lacking:
        raise ConfigError(f"{where}: the data have no {' and no '.join(lacking)}; choose other data")


def check_finite(joints: Floats, camera: Floats) -> None:
    """Make sure that labels of test samples, (n, ...) each, are numbers.

    Raises:
        DataError: they are not; names the row.
    """
    bad = ~(np.isfinite(joints).all((1, 2)) & np.isfinite(camera).all((1, 2)))
    if bad.any():
        raise DataError(
            f"joints3d or camera of row {int(bad.argmax())} of the test samples are no finite numbers; "
            "check the files of the data set"
        )


class Pose3D(Task):
    """Places of joints in a volume over the crop; L1 loss of the joints inside the crop.

    The network gives pixels: x and y in the crop, and depth past the root in pixels, too (depth in metres
    times focal length over depth of the root), so that all three axes grow alike when the crop is zoomed.
    From pixels to millimetres the true scale of the box is taken (depth of the root over focal length), as
    no single image tells it, and joints go back along their rays: what is measured is the pose, not how far
    away it is.

    MPJPE is the mean distance over all joints inside the crop, after the root (pelvis, else the middle of
    the hips) of both is subtracted; people whose root is outside do not count. PA-MPJPE aligns the same
    joints by a similarity first. Joints outside the crop of a person that is cut off are neither taught nor
    scored; on Human3.6M there are none. Means are over joints and images, not over actions.
    """

    Config = Pose3DConfig
    targets = ("joints3d", "camera")
    metrics = (
        Metric(name="mpjpe", unit="mm", higher_is_better=False),
        Metric(name="pa_mpjpe", unit="mm", higher_is_better=False),
    )

    def __init__(self, cfg: Pose3DConfig, data: DataInfo) -> None:
        """Look the joints up.

        Raises:
            ConfigError: the data have no joints, or these have no root.
        """
        super().__init__(cfg, data)
        if not data.joint_set:
            raise ConfigError("pose3d needs data with joints; these have none")
        self.joints = joint_set(data.joint_set)
        self.root = root_of(data.joint_set)

    def head(self, info: FeatureInfo) -> nn.Module:
        return self._head(info)

    def probe_head(self, protocol: str, info: FeatureInfo) -> nn.Module:
        return self._head(info, probe=True)

    def _head(self, info: FeatureInfo, *, probe: bool = False) -> nn.Module:
        return VolumetricHead(
            info, len(self.joints), self._bins(), extent=self.cfg.depth_extent, kind=self.cfg.head,
            width=self.cfg.width, probe=probe,
        )  # fmt: skip

    def _bins(self) -> int:
        return int(self.cfg.bins or max(1, self.data.size[1] // STRIDE))

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        return {"l1": volume_l1(out["joints"], batch["joints3d"], batch["camera"], self.root, self.data.size)}

    def predict(self, out: Outputs, batch: Batch) -> Stats:
        """Return `joints` (N, J, 3) float32: x, y in pixels of the crop, pixels past the root."""
        return {"joints": out["joints"].float().cpu().numpy()}

    def oracle_prediction(self, truth: Stats) -> Stats:
        return {"joints": _in_crop(truth, self.root)}

    def floor_prediction(self, seen: Stats, n: int) -> Stats:
        """The mean pose of the training crops, of each joint over the crops that it lies in."""
        joints = _in_crop(seen, self.root)
        mean = mean_places(joints, _inside(joints, self.data.size), joints.mean(0))
        return {"joints": np.broadcast_to(mean, (n, *mean.shape)).astype(np.float32)}

    def ceiling_prediction(self, truth: Stats, info: FeatureInfo) -> Stats:
        """The truth, as far as means over cells reach: half a cell from the border of the volume."""
        (height, width), joints = self.data.size, _in_crop(truth, self.root)
        down, along = heatmap_cells(info, self.data.size, self.cfg.head)
        edge = np.array([width / along, height / down]) / 2
        joints[..., :2] = np.clip(joints[..., :2], edge, [width, height] - edge)
        reach = self.cfg.depth_extent * width / 2 * (1 - 1 / self._bins())
        joints[..., 2] = np.clip(joints[..., 2], -reach, reach)
        return {"joints": joints}

    def draw(self, predicted: Stats, truth: Stats, images: Stats) -> Mapping[str, NDArray[np.uint8]]:
        rgb, (height, width) = images["rgb"], self.data.size
        empty = np.zeros((len(rgb), height, width, 3), np.uint8)
        rows = {}
        for title, joints in (("predicted", predicted["joints"]), ("true", _in_crop(truth, self.root))):
            depth = joints[..., 2] - joints[:, list(self.root), 2].mean(1, keepdims=True)
            turned = np.stack([width / 2 + depth, joints[..., 1]], -1)
            rows[f"{title} joints"] = skeletons(rgb, joints[..., :2], self.joints)
            rows[f"{title} joints from the side (camera on the left)"] = skeletons(empty, turned, self.joints)
        return rows

    def score_samples(self, predicted: Stats, truth: Stats) -> Stats:
        wanted, camera = truth["joints3d"][..., :3].astype(np.float64), truth["camera"].astype(np.float64)
        check_finite(wanted, camera)
        counted = _inside(_in_crop(truth, self.root), self.data.size)
        found = _in_space(predicted["joints"].astype(np.float64), wanted, camera, self.root)
        plain = root_relative_rows(found * MM, wanted * MM, counted, self.root)
        aligned = aligned_rows(found * MM, wanted * MM, plain["joints"])
        both = {"mpjpe": plain, "pa_mpjpe": aligned}
        return {f"{name}_{k}": values for name, rows in both.items() for k, values in rows.items()}

    def aggregate(self, rows: Stats, weights: Floats) -> Mapping[str, Floats]:
        if not rows["mpjpe_joints"].any():
            raise DataError("pose3d: no test sample has its root inside the crop; choose other data")
        sums = weighted_sums(rows, weights)
        return {
            metric.name: mean_error(sums[f"{metric.name}_error"], sums[f"{metric.name}_joints"])
            for metric in self.metrics
        }


@in_float32
def volume_l1(
    places: Tensor, joints3d: Tensor, camera: Tensor, root: tuple[int, ...], size: tuple[int, int]
) -> Tensor:
    """Mean distance per axis, in widths of the crop, of the joints inside it; 0 where there are none.

    Args:
        places: x, y, depth past the root, pixels, (N, J, 3).
        joints3d: in the frame of the camera, metres, (N, J, 3 or more).
        camera: intrinsics of the crop, (N, 3, 3).
        root: the joints whose mean is the root.
        size: (H, W) of the crop.
    """
    joints = joints3d[..., :3]
    middle = joints[:, list(root), 2].mean(1, keepdim=True)
    depth = (joints[..., 2] - middle) * focal(camera)[:, None] / middle
    xy = project(joints, camera)
    wanted = torch.cat([xy, depth[..., None]], -1)
    inside = inside_crop(xy.flip(-1), size)
    each = (places - wanted).abs().mean(-1) / size[1]
    return (each * inside).sum() / inside.sum().clamp(min=1)


def _in_crop(truth: Stats, root: tuple[int, ...]) -> Floats:
    """True joints as the network gives them: x, y in pixels, pixels past the root, (n, J, 3)."""
    joints, camera = truth["joints3d"][..., :3].astype(np.float64), truth["camera"].astype(np.float64)
    middle = joints[:, list(root), 2].mean(1, keepdims=True)
    depth = (joints[..., 2] - middle) * focal(camera)[:, None] / middle
    return np.concatenate([project(joints, camera), depth[..., None]], -1)


def _in_space(places: Floats, truth: Floats, camera: Floats, root: tuple[int, ...]) -> Floats:
    """Joints in metres in the frame of the camera, by the true depth of the root; see `_in_crop`."""
    middle = truth[:, list(root), 2].mean(1, keepdims=True)
    past = places[..., 2] - places[:, list(root), 2].mean(1, keepdims=True)
    depth = middle + past * middle / focal(camera)[:, None]
    return back_project(places[..., :2], np.maximum(depth, NEAREST * middle), camera)


def _inside(places: Floats, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which joints lie in the crop, (n, J)."""
    x, y = places[..., 0], places[..., 1]
    return (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0])
