"""3D pose from a depth crop by anchors that regress joints (A2J; Xiong et al., arXiv:1908.09999), as on ITOP.

Losses and scales are those of HCMoCo (arXiv:2203.13815) and of A2J's released code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.api import Batch, DataInfo, Encoder, FeatureInfo, Metric, Outputs, Pretrained, Stats, Task
from bench.bodymodels.joints import JointSet, joint_set, places_in
from bench.bodymodels.pinhole import back_project, project
from bench.drawing import depth_images, skeletons
from bench.errors import ConfigError
from bench.heads.anchors import AnchorHead, anchor_losses
from bench.losses.foreground import foreground, foreground_mean
from bench.metrics.pose3d import position_errors
from bench.metrics.weighted import weighted_sums
from bench.settings import Count, Positive
from tasks.pose3d import check_finite, need_joints3d

Floats = NDArray[np.float64]

REACH = 0.10  # metres: a joint that is nearer to its truth is found
CM = 100.0
# Last words of the names of joints below the chest; all others are the upper body
LOWER = ("torso", "pelvis", "spine1", "spine2", "spine", "base", "hip", "knee", "ankle", "foot")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseDepthConfig:
    joints: str = "itop15"  # which joints of the data's set; "" = all
    width: Count | None = None  # channels of the branches; null follows the encoder, at most 256
    layers: Count = 4  # of each branch, before its last one
    foreground_m: Positive = 0.6  # in front of and behind the person's front, of what counts as the person

    def check(self, *, joint_set: str, fields: list[str], where: str) -> None:
        """Refuse data without 3D joints, or without those that are wanted.

        Raises:
            ConfigError: they lack joints, 3D joints or intrinsics, or joints of the set wanted.
        """
        from bench.bodymodels.joints import places_in as find_places

        need_joints3d(joint_set, fields, where)
        if self.joints:
            try:
                find_places(joint_set, self.joints)
            except ConfigError as error:
                raise ConfigError(f'{where}.joints: {error}; set joints="" for all joints') from None


class PoseDepth(Task):
    """Each anchor votes for every joint; accuracy is the share of joints found within 10 cm.

    What counts as the person follows from the depth image alone (`foreground`): elsewhere depth is erased, so
    that the encoder centres it by the person's mean, and the same mean is subtracted from the joints'
    depth and added back to the prediction. x and y go through the intrinsics of the crop to metres in the
    frame of the camera. All joints count, hidden ones, too.

    Frozen protocols make no sense here: features do not hold the mean that the depth is measured from.
    """

    Config = PoseDepthConfig
    targets = ("joints3d", "camera")
    metrics: tuple[Metric, ...]  # type: ignore[misc]  # of the joints at hand

    def __init__(self, cfg: PoseDepthConfig, data: DataInfo) -> None:
        """Choose the joints.

        Raises:
            ConfigError: the data have no joints, or not all of those wanted.
        """
        super().__init__(cfg, data)
        if not data.joint_set:
            raise ConfigError("pose_depth needs data with joints; these have none")
        self.joints: JointSet = joint_set(cfg.joints or data.joint_set)
        self.places = list(places_in(data.joint_set, self.joints.name))
        self.parts = {name: name.split()[-1] for name in self.joints.names}
        self.metrics = (
            Metric(name="acc_10cm", unit="%"),
            Metric(name="acc_upper", unit="%"),
            Metric(name="acc_lower", unit="%"),
            Metric(name="mean_error", unit="cm", higher_is_better=False),
            *(Metric(name=f"acc_{part}", unit="%") for part in dict.fromkeys(self.parts.values())),
        )

    def network(self, given: Pretrained) -> nn.Module:
        ((modality, encoder),) = given.encoders.items()
        return ForegroundAnchors(encoder, self.head(encoder.feature_info), modality, self.cfg.foreground_m)

    def head(self, info: FeatureInfo) -> nn.Module:
        return AnchorHead(info, len(self.joints), self.cfg.width, self.cfg.layers)

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        joints = batch["joints3d"][:, self.places, :3]
        centred = joints[..., 2] - out["centre"][:, None]
        return anchor_losses(out, project(joints, batch["camera"]), centred, self.data.size[1])

    def predict(self, out: Outputs, batch: Batch) -> Stats:
        """Return `joints` (N, J, 3) float32: x, y in pixels of the crop, depth in metres."""
        depth = out["depth_m"] + out["centre"][:, None]
        xy = out["xy"].float().cpu().numpy()
        return {"joints": np.concatenate([xy, depth.float().cpu().numpy()[..., None]], -1)}

    def oracle_prediction(self, truth: Stats) -> Stats:
        return {"joints": self._in_crop(truth)}

    def floor_prediction(self, seen: Stats, n: int) -> Stats:
        """The mean pose of the training crops, at its mean depth."""
        mean = self._in_crop(seen).mean(0)
        return {"joints": np.broadcast_to(mean, (n, *mean.shape)).astype(np.float32)}

    def ceiling_prediction(self, truth: Stats, info: FeatureInfo) -> Stats:
        """The truth: offsets from anchors reach any place."""
        return self.oracle_prediction(truth)

    def draw(self, predicted: Stats, truth: Stats, images: Stats) -> Mapping[str, NDArray[np.uint8]]:
        grey = depth_images(images["depth"])
        wanted = self._in_crop(truth)
        return {
            "predicted joints": skeletons(grey, predicted["joints"][..., :2], self.joints),
            "true joints": skeletons(grey, wanted[..., :2], self.joints),
        }

    def score_samples(self, predicted: Stats, truth: Stats) -> Stats:
        wanted, camera = self._true(truth), truth["camera"].astype(np.float64)
        check_finite(wanted, camera)
        places = predicted["joints"].astype(np.float64)
        error = position_errors(back_project(places[..., :2], places[..., 2], camera), wanted)
        return {"error": error, "hits": error < REACH, "joints": np.ones(error.shape, bool)}

    def aggregate(self, rows: Stats, weights: Floats) -> Mapping[str, Floats]:
        sums = weighted_sums(rows, weights)
        share = 100 * sums["hits"] / sums["joints"]  # (B, J)
        parts = np.array(list(self.parts.values()))
        lower = np.isin(parts, LOWER)
        return {
            "acc_10cm": share.mean(1),
            "acc_upper": share[:, ~lower].mean(1),
            "acc_lower": share[:, lower].mean(1),
            "mean_error": CM * (sums["error"] / sums["joints"]).mean(1),
            **{f"acc_{part}": share[:, parts == part].mean(1) for part in dict.fromkeys(parts.tolist())},
        }

    def _true(self, truth: Stats) -> Floats:
        joints: Floats = truth["joints3d"][:, self.places, :3].astype(np.float64)
        return joints

    def _in_crop(self, truth: Stats) -> Floats:
        """True joints as `predict` gives them, (n, J, 3)."""
        joints = self._true(truth)
        return np.concatenate([project(joints, truth["camera"].astype(np.float64)), joints[..., 2:]], -1)


class ForegroundAnchors(nn.Module):
    """Erases what is not the person, and remembers the mean depth of what is left."""

    def __init__(self, encoder: Encoder, head: nn.Module, modality: str, reach_m: float) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.modality, self.reach_m = modality, reach_m

    def forward(self, batch: Batch) -> Outputs:
        """Return the head's outputs and `centre` (N,), the mean depth of the person, metres."""
        depth = batch[self.modality]
        depth = depth * foreground(depth, self.reach_m)
        features = self.encoder(depth, *self.encoder.besides(batch))
        out: Outputs = self.head(features, (depth.shape[-2], depth.shape[-1]))
        return {**out, "centre": foreground_mean(depth)}
