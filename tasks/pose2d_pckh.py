"""2D pose as MPII scores it: share of the joints within half a head of their place (PCKh).

Network, training and prediction are those of `tasks.pose2d`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bench.api import DataInfo, Metric, Stats
from bench.errors import DataError
from bench.metrics.keypoints import head_sizes, joint_hits, pck, per_joint
from bench.metrics.weighted import weighted_sums
from tasks.pose2d import PCKH, PCKH_STRICT, Pose2D, Pose2DConfig, in_picture

Floats = NDArray[np.float64]

# What data of a joint set store besides the joints: head size in the full image, the map from it to the crop
IN_PICTURE = {"mpii16": ("head_size", "crop_matrix")}
_LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
GROUPS = {  # of joints, by their names in any joint set; MPII's head is its top
    "head": ("head top", "head"),
    **{part: (f"left {part}", f"right {part}") for part in _LIMBS},
}


class Pose2DPCKh(Pose2D):
    """Scores of MPII: PCKh at half and at a tenth of the head size, and at half of it by group of joints.

    A labelled joint is found where it lies at most so far from its place, in pixels of the full image if the
    map there is known. The means weight each joint by how often it is labelled, without pelvis and thorax;
    those of a group weight its joints alike. The head size is the stored one, 0.6 of the head box's diagonal;
    of samples without one (MPII's for training, other data) the distance of neck and head top, or what
    `bench.metrics.keypoints.head_sizes` says. People whose head size is not known do not count.
    """

    metrics = tuple(
        Metric(name=f"pckh{name}", unit="%") for name in ("", "_01", *(f"_{group}" for group in GROUPS))
    )

    def __init__(self, cfg: Pose2DConfig, data: DataInfo) -> None:
        """Check the config; raises as `Pose2D` does."""
        super().__init__(cfg, data)
        self.extras = IN_PICTURE.get(data.joint_set, ())  # type: ignore[misc]
        names = self.joints.names
        self.groups = {g: [names.index(n) for n in listed if n in names] for g, listed in GROUPS.items()}

    def score_samples(self, predicted: Stats, truth: Stats) -> Stats:
        joints = truth["keypoints"][..., [0, 1, -1]].astype(np.float64)  # x, y, labelled
        wanted = in_picture(joints, truth)
        found = in_picture(predicted["keypoints"].astype(np.float64), truth)[..., :2]
        heads = head_sizes(wanted, self.joints.name)
        if "head_size" in truth:
            stored = truth["head_size"].astype(np.float64)
            heads = np.where(stored > 0, stored, heads)
        half, tenth = (joint_hits(found, wanted, share * heads) for share in (PCKH, PCKH_STRICT))
        return {"joints": half["joints"], "hits": half["hits"], "hits_01": tenth["hits"]}

    def aggregate(self, rows: Stats, weights: Floats) -> Mapping[str, Floats]:
        if not rows["joints"].any():
            raise DataError(
                "pose2d_pckh: no joint of the test samples is labelled beside a head size; choose other data"
            )
        sums = weighted_sums(rows, weights)
        values = {
            "pckh": pck(sums["hits"], sums["joints"], self.joints.name),
            "pckh_01": pck(sums["hits_01"], sums["joints"], self.joints.name),
        }
        for group, where in self.groups.items():
            values[f"pckh_{group}"] = per_joint(sums["hits"][:, where], sums["joints"][:, where])
        return {name: 100 * value for name, value in values.items()}
