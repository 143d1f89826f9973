"""2D pose on single-person crops: heat maps of joints, average precision of the key-point similarity.

The baseline is SimpleBaseline (arXiv:1804.06208), as LiftedCL (Chen et al., 2023) uses it on COCO, MPII and
Human3.6M.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.api import Batch, DataInfo, FeatureInfo, Metric, Outputs, Pretrained, Stats, Task
from bench.bodymodels.joints import joint_set
from bench.drawing import skeletons
from bench.errors import ConfigError, DataError
from bench.heads.heatmap import FlipTested, HeatmapKind, LinearHeatmapProbe, heatmap_cells, heatmap_head
from bench.losses.heatmaps import Decoding, decode, gaussian_targets, heatmap_mse, trainable
from bench.metrics.detection import COUNTED
from bench.metrics.keypoints import (
    box_area,
    detection_metrics,
    head_sizes,
    joint_hits,
    mean_places,
    oks_rows,
    pck,
    per_joint,
    sigmas_of,
    torso_sizes,
)
from bench.metrics.weighted import weighted_sums

Floats = NDArray[np.float64]

PCKH, PCKH_STRICT, PCK = 0.5, 0.1, 0.2  # of the head size, of the torso size
JDR = 0.05  # of the image's width: half a head, which is taken to be a tenth of it
# What data of a joint set store besides the joints: area in the full image, the map from there to the crop
IN_PICTURE = {"coco17": ("area", "crop_matrix")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose2DConfig:
    head: HeatmapKind = "deconv"  # SimpleBaseline; "finest" for HRNet; "linear"
    width: int | None = None  # channels inside the head; null follows the encoder, at most 256
    sigma: float = 2.0  # of the targets, cells of the heat map
    decoding: Decoding = "quarter"  # or "dark"
    flip_test: bool = True  # average with the mirrored image


class Pose2D(Task):
    """One heat map per joint, squared error over the labelled joints.

    Average precision is COCO's, with one detection per crop whose score is the mean peak of its heat maps
    (given boxes: higher than with detected ones). The area of a person is the stored one, in the full
    image, where the joint set's data have it, and else follows from the box of the labelled joints. PCKh is
    MPII's, at half and at a tenth of the head size; the joint detection rate is that of Human3.6M: within
    a twentieth of the crop's width (16 pixels of 320), mean over the joints.
    """

    Config = Pose2DConfig
    targets = ("keypoints",)
    metrics = tuple(
        Metric(name=name, unit="%") for name in ("ap", "ap50", "ap75", "ar", "pckh", "pckh_01", "pck", "jdr")
    )

    def __init__(self, cfg: Pose2DConfig, data: DataInfo) -> None:
        """Check the config.

        Raises:
            ConfigError: the data have no joints, or sigma is not positive.
        """
        super().__init__(cfg, data)
        if not data.joint_set:
            raise ConfigError("pose2d needs data with joints; these have none")
        if not cfg.sigma > 0:
            raise ConfigError(f"sigma: got {cfg.sigma}, wanted a positive number of heat-map cells")
        self.joints = joint_set(data.joint_set)
        self.sigmas = sigmas_of(data.joint_set)
        self.extras = IN_PICTURE.get(data.joint_set, ())  # type: ignore[misc]

    def head(self, info: FeatureInfo) -> nn.Module:
        return heatmap_head(info, len(self.joints), self.cfg.head, self.cfg.width)

    def probe_head(self, protocol: str, info: FeatureInfo) -> nn.Module:
        return LinearHeatmapProbe(info, len(self.joints))

    def network(self, given: Pretrained) -> nn.Module:
        if not self.cfg.flip_test:
            return super().network(given)
        ((modality, encoder),) = given.encoders.items()
        return FlipTested(encoder, self.head(encoder.feature_info), modality, self.joints.flip)

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        joints, maps, size = batch["keypoints"], out["heatmaps"], self.data.size
        targets = gaussian_targets(joints[..., :2], _cells(maps), size, self.cfg.sigma)
        return {"heatmaps": heatmap_mse(maps, targets, trainable(joints, size))}

    def predict(self, out: Outputs, batch: Batch) -> Stats:
        """Return `keypoints` (N, J, 3) float32: x, y in pixels of the crop, peak of the heat map."""
        places, peaks = decode(out["heatmaps"], self.data.size, self.cfg.decoding, self.cfg.sigma)
        xy = places.flip(-1).cpu().numpy()
        return {"keypoints": np.concatenate([xy, peaks.cpu().numpy()[..., None]], -1).astype(np.float32)}

    def oracle_prediction(self, truth: Stats) -> Stats:
        joints = truth["keypoints"]
        return {"keypoints": np.concatenate([joints[..., :2], np.ones_like(joints[..., :1])], -1)}

    def floor_prediction(self, seen: Stats, n: int) -> Stats:
        """The mean pose of the training crops, of each joint over the crops that it is labelled in."""
        joints = seen["keypoints"].astype(np.float64)
        middle = np.array(self.data.size[::-1]) / 2  # of joints that no crop has
        mean = mean_places(joints[..., :2], joints[..., -1] > 0, middle)
        mean = np.concatenate([mean, np.ones_like(mean[:, :1])], -1)
        return {"keypoints": np.broadcast_to(mean, (n, *mean.shape)).astype(np.float32)}

    def ceiling_prediction(self, truth: Stats, info: FeatureInfo) -> Stats:
        """Perfect heat maps, decoded."""
        joints = torch.from_numpy(truth["keypoints"])[..., [1, 0]]
        cells = heatmap_cells(info, self.data.size, self.cfg.head)
        return self.predict({"heatmaps": gaussian_targets(joints, cells, self.data.size, self.cfg.sigma)}, {})

    def draw(self, predicted: Stats, truth: Stats, images: Stats) -> Mapping[str, NDArray[np.uint8]]:
        found, wanted = predicted["keypoints"], truth["keypoints"]
        seen = wanted[..., -1] > 0
        return {
            "predicted joints": skeletons(images["rgb"], found[..., :2], self.joints, seen),
            "true joints": skeletons(images["rgb"], wanted[..., :2], self.joints, seen),
        }

    def score_samples(self, predicted: Stats, truth: Stats) -> Stats:
        found = predicted["keypoints"].astype(np.float64)
        wanted = truth["keypoints"][..., [0, 1, -1]].astype(np.float64)  # x, y, visibility
        heads = head_sizes(wanted, self.joints.name)
        rows = {
            "pckh": joint_hits(found[..., :2], wanted, PCKH * heads),
            "pckh_01": joint_hits(found[..., :2], wanted, PCKH_STRICT * heads),
            "pck": joint_hits(found[..., :2], wanted, PCK * torso_sizes(wanted, self.joints.name)),
            "jdr": joint_hits(found[..., :2], wanted, JDR * self.data.size[1]),
        }
        people = oks_rows(
            in_picture(found, truth)[:, None, :, :2],
            found[..., 2].mean(1)[:, None],
            in_picture(wanted, truth)[:, None],
            (truth["area"] if "area" in truth else box_area(wanted)).reshape(-1, 1),
            np.full((len(found), 1), COUNTED),
            self.sigmas,
        )
        return people | {f"{name}_{k}": v for name, kept in rows.items() for k, v in kept.items()}

    def aggregate(self, rows: Stats, weights: Floats) -> Mapping[str, Floats]:
        if not rows["jdr_joints"].any():
            raise DataError("pose2d: no joint of the test samples is labelled; choose other data")
        precise = {name: rows[name] for name in ("score", "hit", "miss", "truths")}
        sums = weighted_sums({name: v for name, v in rows.items() if name not in precise}, weights)
        values = detection_metrics(precise, weights)
        for name in ("pckh", "pckh_01", "pck"):
            values[name] = pck(sums[f"{name}_hits"], sums[f"{name}_joints"], self.joints.name)
        values["jdr"] = per_joint(sums["jdr_hits"], sums["jdr_joints"])
        return {name: 100 * value for name, value in values.items()}


def in_picture(joints: Floats, truth: Stats) -> Floats:
    """Joints (N, J, 3), x and y of the crop, in pixels of the full image, where the way there is known."""
    if "crop_matrix" not in truth:
        return joints
    back = np.linalg.inv(truth["crop_matrix"].astype(np.float64))  # (N, 3, 3)
    places = joints[..., :2] @ back[:, :2, :2].transpose(0, 2, 1) + back[:, None, :2, 2]
    return np.concatenate([places, joints[..., 2:]], -1)


def _cells(maps: Tensor) -> tuple[int, int]:
    return maps.shape[2], maps.shape[3]
