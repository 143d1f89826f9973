"""Does a body go through itself? Capsules along the bones, tested in pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.synth.angles import JOINTS, Floats

# (from, to, radius in metres); design choice, thinner than the body so that touching is allowed
_CAPSULES: tuple[tuple[str, str, float], ...] = (
    ("pelvis", "spine2", 0.115), ("spine2", "neck", 0.12), ("neck", "head", 0.06), ("head", "crown", 0.085),
    ("l_shoulder", "l_elbow", 0.045), ("l_elbow", "l_wrist", 0.037), ("l_wrist", "l_hand", 0.03),
    ("r_shoulder", "r_elbow", 0.045), ("r_elbow", "r_wrist", 0.037), ("r_wrist", "r_hand", 0.03),
    ("l_hip", "l_knee", 0.07), ("l_knee", "l_ankle", 0.05), ("r_hip", "r_knee", 0.07),
    ("r_knee", "r_ankle", 0.05),
)  # fmt: skip
# neighbours that always touch
_ALLOWED = {
    (0, 1), (1, 2), (2, 3), (1, 3), (4, 5), (5, 6), (7, 8), (8, 9), (1, 4), (1, 7), (2, 4), (2, 7),
    (0, 10), (0, 12), (10, 11), (12, 13), (10, 12),
}  # fmt: skip
CROWN: Floats = np.array([0.0, 0.14, 0.02])  # top of the skull from the head joint, metres

_ENDS = {**JOINTS, "crown": len(JOINTS)}
_FROM = np.array([_ENDS[start] for start, _, _ in _CAPSULES])
_TO = np.array([_ENDS[end] for _, end, _ in _CAPSULES])
_RADIUS = np.array([radius for _, _, radius in _CAPSULES])
_PAIRS: NDArray[np.intp] = np.array(
    [(i, j) for i in range(len(_CAPSULES)) for j in range(i + 1, len(_CAPSULES)) if (i, j) not in _ALLOWED]
)


def penetration(joints: Floats, turned: Floats) -> Floats:
    """Deepest overlap of two body parts in every frame.

    Args:
        joints: posed joints, metres, (T, 24, 3).
        turned: global joint rotations, (T, 24, 3, 3).

    Returns:
        Metres, (T,); negative when all parts keep a distance.
    """
    crown = joints[:, JOINTS["head"]] + turned[:, JOINTS["head"]] @ CROWN
    points = np.concatenate([joints, crown[:, None]], 1)
    start, end = points[:, _FROM], points[:, _TO]  # (T, 14, 3)
    first, second = _PAIRS.T
    gap = segment_distance(start[:, first], end[:, first], start[:, second], end[:, second])
    worst: Floats = (_RADIUS[first] + _RADIUS[second] - gap).max(1)
    return worst


def segment_distance(a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
    """Distance between the segments ab and cd, points (..., 3) (Ericson 2005, Sec. 5.1.9)."""
    u, v, w = b - a, d - c, a - c
    uu, vv, uv = _dot(u, u), _dot(v, v), _dot(u, v)
    uw, vw = _dot(u, w), _dot(v, w)
    cross = uu * vv - uv * uv
    s = np.clip((uv * vw - uw * vv) / np.maximum(cross, 1e-12), 0, 1)
    t = np.clip((uv * s + vw) / np.maximum(vv, 1e-12), 0, 1)
    s = np.clip((uv * t - uw) / np.maximum(uu, 1e-12), 0, 1)
    gap = w + u * s[..., None] - v * t[..., None]
    distance: Floats = np.sqrt(_dot(gap, gap))
    return distance


def _dot(a: Floats, b: Floats) -> Floats:
    product: Floats = np.einsum("...i,...i->...", a, b)
    return product
