"""Metrics of 2D joints: key-point similarity (OKS) for average precision, PCK, PCKh, joint detection rate.

Positions are (x, y) in pixels; a truth's third number is its visibility, 0 = not labelled. Any frame will do
(crop or full image) as long as positions, areas, boxes and distances are of the same one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.api import Stats
from bench.bodymodels.joints import joint_set
from bench.errors import ConfigError
from bench.metrics.detection import (
    COUNTED,
    IGNORED,
    MAX_DETECTIONS,
    average_precision,
    detection_metrics,
    match_rows,
)

__all__ = [
    "average_precision", "box_area", "box_sizes", "detection_metrics", "head_sizes", "joint_hits", "oks",
    "oks_rows", "pck", "per_joint", "sigmas_of", "torso_sizes",
]  # fmt: skip

Floats = NDArray[np.float64]

AREA_SHARE = 0.53  # of a person's box that the person covers; the number of mmpose where no area is known
HEAD_SHARE = 0.28  # head size over torso size; of an upright adult MPII's head size is 0.10 of the height,
# shoulder to opposite hip 0.35 (design choice, for joint sets that have no head top and neck)
UNSCORED = ("pelvis", "thorax")  # left out by the scores of MPII

# Fall-offs for joint sets that declare none, by the last word of a joint's name: COCO's number of the same
# joint, or of the nearest one that COCO has (design choice). Joints of the trunk are as vague as hips.
_PART_SIGMAS = {
    "nose": 0.026, "eye": 0.025, "ear": 0.035, "head": 0.035, "top": 0.035, "neck": 0.079, "collar": 0.079,
    "shoulder": 0.079, "elbow": 0.072, "wrist": 0.062, "hand": 0.062, "tip": 0.062, "thumb": 0.062,
    "thorax": 0.107, "torso": 0.107, "spine": 0.107, "base": 0.107, "mid": 0.107, "pelvis": 0.107,
    "hip": 0.107, "knee": 0.087, "ankle": 0.089, "foot": 0.089,
}  # fmt: skip


def sigmas_of(name: str) -> Floats:
    """Fall-offs of a joint set's similarity, (J,): its own, else by body part after COCO's.

    Raises:
        ConfigError: no such set, or a joint of it is of no known body part.
    """
    wanted = joint_set(name)
    if wanted.sigmas is not None:
        return np.array(wanted.sigmas)
    parts = [joint.split()[-1].rstrip("0123456789") for joint in wanted.names]
    unknown = [joint for joint, part in zip(wanted.names, parts, strict=True) if part not in _PART_SIGMAS]
    if unknown:
        raise ConfigError(
            f'joint set "{name}" declares no sigmas, and none is known for: {", ".join(unknown)}'
        )
    return np.array([_PART_SIGMAS[part] for part in parts])


def oks(
    predicted: ArrayLike, truth: ArrayLike, area: ArrayLike, sigmas: ArrayLike, box: ArrayLike | None = None
) -> Floats:
    """Similarity of every prediction with every truth of its image, as COCO computes it.

    Args:
        predicted: (N, D, J, 2).
        truth: (N, G, J, 3).
        area: of the persons, (N, G).
        sigmas: (J,).
        box: x, y, width, height, (N, G, 4). A person without labelled joints, such as a crowd, is as near as
            its box, twice enlarged; without a box its similarity is 0.

    Returns:
        (N, D, G) in 0..1.
    """
    found, wanted = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    spread = (2 * np.asarray(sigmas, np.float64)) ** 2 * 2  # (J,)
    size = np.asarray(area, np.float64)[:, :, None] + np.spacing(1)
    labelled = wanted[..., 2] > 0  # (N, G, J)
    count = labelled.sum(2)
    alike = np.zeros((len(found), found.shape[1], wanted.shape[1]))
    for d in range(found.shape[1]):
        apart = ((found[:, d, None] - wanted[..., :2]) ** 2).sum(3)  # (N, G, J)
        near = np.where(labelled, np.exp(-apart / spread / size), 0.0)
        alike[:, d] = near.sum(2) / np.maximum(1, count)
    if box is not None and not count.all():
        corner = np.asarray(box, np.float64)[:, :, None]  # (N, G, 1, 4)
        low, high = corner[..., :2] - corner[..., 2:], corner[..., :2] + 2 * corner[..., 2:]
        for d in range(found.shape[1]):
            joints = found[:, d, None]
            beyond = np.maximum(0, low - joints) + np.maximum(0, joints - high)  # (N, G, J, 2)
            near = np.exp(-(beyond**2).sum(3) / spread / size)
            alike[:, d] = np.where(count == 0, near.mean(2), alike[:, d])
    return alike


def oks_rows(
    predicted: ArrayLike,
    scores: ArrayLike,
    truth: ArrayLike,
    area: ArrayLike,
    kinds: ArrayLike,
    sigmas: ArrayLike,
    *,
    box: ArrayLike | None = None,
    areas: tuple[float, float] | None = None,
    max_detections: int = MAX_DETECTIONS,
) -> Stats:
    """Match people by their joints; the rows are those of `bench.metrics.detection.match_rows`.

    Args:
        predicted: (N, D, J, 2), D detections per image, padded.
        scores: (N, D), -inf = padding.
        truth: (N, G, J, 3), G persons per image, padded.
        area: of the persons, (N, G).
        kinds: of the persons, (N, G): `ABSENT` (padding), `COUNTED`, `IGNORED`, `CROWD` of
            `bench.metrics.detection`. Without labelled joints a counted one is ignored.
        sigmas: (J,).
        box: of the persons, (N, G, 4), see `oks`.
        areas: smallest and largest area that count, e.g. (32**2, 96**2); None = all.
        max_detections: per image.
    """
    found, joints = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    size, kind = np.asarray(area, np.float64), np.asarray(kinds)
    unlabelled = ~(joints[..., 2] > 0).any(2)
    outside = None
    if areas is not None:
        unlabelled |= (size < areas[0]) | (size > areas[1])
        extent = np.ptp(found, axis=2).prod(2)  # of the detected joints
        outside = (extent < areas[0]) | (extent > areas[1])
    kind = np.where((kind == COUNTED) & unlabelled, IGNORED, kind)
    alike = oks(found, joints, size, sigmas, box)
    return match_rows(
        alike, np.asarray(scores, np.float64), kind, outside=outside, max_detections=max_detections
    )


def joint_hits(predicted: ArrayLike, truth: ArrayLike, reach: ArrayLike) -> Stats:
    """Say which labelled joints are found; the rows add up.

    Args:
        predicted: (N, J, 2).
        truth: (N, J, 3).
        reach: how far off a joint may be, one number or (N,); samples with NaN or 0 do not count.

    Returns:
        `hits` and `joints` (N, J) bool: found, counted.
    """
    found, wanted = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    limit = np.broadcast_to(np.asarray(reach, np.float64), (len(wanted),))[:, None]
    counted = (wanted[..., 2] > 0) & (limit > 0)
    apart = np.hypot(*np.moveaxis(found[..., :2] - wanted[..., :2], -1, 0))
    return {"hits": counted & (apart <= limit), "joints": counted}


def pck(hits: ArrayLike, joints: ArrayLike, name: str = "") -> Floats:
    """Share of the labelled joints that are found; MPII's rule leaves pelvis and thorax of `mpii16` out.

    Args:
        hits: sums of `joint_hits`, (..., J).
        joints: (..., J).
        name: of the joint set.

    Returns:
        (...) in 0..1; NaN where no joint counts.

    >>> pck([1, 2], [2, 2]).item()
    0.75
    """
    keep = [joint not in UNSCORED for joint in joint_set(name).names] if name == "mpii16" else slice(None)
    found, all_ = (np.asarray(x, np.float64)[..., keep].sum(-1) for x in (hits, joints))
    return _ratio(found, all_)


def per_joint(hits: ArrayLike, joints: ArrayLike) -> Floats:
    """Joint detection rate: mean over the joints of the share found; joints that never count are left out.

    >>> per_joint([1, 1, 0], [1, 4, 0]).item()
    0.625
    """
    found, all_ = np.asarray(hits, np.float64), np.asarray(joints, np.float64)
    counted = (all_ > 0).sum(-1)
    total = (found / np.maximum(all_, np.finfo(np.float64).tiny)).sum(-1)
    return _ratio(total, counted)


def mean_places(places: ArrayLike, counted: ArrayLike, otherwise: ArrayLike) -> Floats:
    """Mean of each joint over the samples that it counts in, (n, J, D), (n, J) bool -> (J, D).

    Args:
        places: of the joints; what does not count may be no number.
        counted: which count.
        otherwise: of joints that count nowhere, (J, D) or (D,).
    """
    known = np.asarray(counted, bool)[..., None]
    count = known.sum(0)
    total = np.where(known, np.asarray(places, np.float64), 0).sum(0)
    out: Floats = np.where(count > 0, total / np.maximum(count, 1), otherwise)
    return out


def torso_sizes(truth: ArrayLike, name: str) -> Floats:
    """Distance of left shoulder and right hip, (N,); NaN where one is not labelled (PCK's torso diameter).

    Args:
        truth: (N, J, 3).
        name: of the joint set.

    Raises:
        ConfigError: the joint set has no shoulders or hips.
    """
    return _distance(np.asarray(truth, np.float64), name, "left shoulder", "right hip")


def head_sizes(truth: ArrayLike, name: str) -> Floats:
    """Head size from the joints, (N,), for data without head boxes (0.6 of their diagonal is MPII's size).

    The distance of neck and head top where the set has them, else `HEAD_SHARE` of the torso; NaN where a
    joint that is needed is not labelled. See `torso_sizes` for arguments and errors.
    """
    joints = np.asarray(truth, np.float64)
    names = joint_set(name).names
    for neck in ("upper neck", "neck"):
        if neck in names and "head top" in names:
            return _distance(joints, name, neck, "head top")
    return HEAD_SHARE * torso_sizes(joints, name)


def box_sizes(truth: ArrayLike) -> Floats:
    """Longer side of the box around the labelled joints, (N, J, 3) -> (N,); NaN without labelled joints."""
    width, height = _extent(np.asarray(truth, np.float64))
    return np.maximum(width, height)


def box_area(truth: ArrayLike) -> Floats:
    """Rough area of a person, (N, J, 3) -> (N,): `AREA_SHARE` of the box around all joints that are labelled.

    The box's shorter side counts at least a quarter of the longer one, so that a person whose joints lie on
    a line has an area, too (design choice).
    """
    width, height = _extent(np.asarray(truth, np.float64))
    longer, shorter = np.maximum(width, height), np.minimum(width, height)
    return np.nan_to_num(AREA_SHARE * longer * np.maximum(shorter, longer / 4))


def _ratio(part: Floats, whole: Floats) -> Floats:
    """Divide; NaN where the whole is 0."""
    out: Floats = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
    return out


def _distance(joints: Floats, name: str, first: str, second: str) -> Floats:
    names = joint_set(name).names
    if first not in names or second not in names:
        raise ConfigError(
            f'joint set "{name}" has no {first} or no {second}, which the size of a person needs'
        )
    a, b = joints[:, names.index(first)], joints[:, names.index(second)]
    return np.where((a[:, 2] > 0) & (b[:, 2] > 0), np.hypot(*(a[:, :2] - b[:, :2]).T), np.nan)


def _extent(joints: Floats) -> tuple[Floats, Floats]:
    """Width and height of the labelled joints, (N,) each; NaN without any."""
    labelled = (joints[..., 2] > 0)[..., None]
    low = np.where(labelled, joints[..., :2], np.inf).min(1)
    high = np.where(labelled, joints[..., :2], -np.inf).max(1)
    width, height = np.where(low <= high, high - low, np.nan).T
    return width, height
