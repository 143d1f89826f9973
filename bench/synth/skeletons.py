"""3D skeletons to learn from: the 17 joints of Human3.6M, without images.

Frame: that of a camera, x to the right, y down, z away from it. The pelvis lies at the origin, and the norm
of all coordinates of a skeleton is 1, as in the skeletons that LiftedCL's code comes with.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw
from scipy.stats import truncnorm

from bench.bodymodels.joints import joint_set, regressor
from bench.bodymodels.model import surrogate_body
from bench.bodymodels.rotations import axis_angle_to_matrix
from bench.errors import AssetError
from bench.synth.actions import ACTIONS, HELD_OUT
from bench.synth.angles import JOINTS as SMPL
from bench.synth.motion import draw_motion

Floats = NDArray[np.float64]
Skeletons = NDArray[np.float32]  # (n, 17, 3)

JOINT_SET = "h36m17"
NAMES = joint_set(JOINT_SET).names
TILT_DEG = (12.0, 5.0)  # mean and sd of the camera's downward tilt
FRAMES = 16  # of a clip
FRAME_STEP_S = 0.35
COLORS = {"left": "blue", "right": "red"}
SMALLEST = 1e-6  # norm of a skeleton that can be scaled

# Of the skeletons of LiftedCL's code, measured: lengths over that from pelvis to spine; ranges of inner
# angles in degrees, 5th to 95th percentile.
LENGTHS = {
    "hip": 0.569, "thigh": 1.897, "shin": 1.945, "back": 1.101, "neck": 0.519, "head": 0.493,
    "shoulder": 0.647, "upper arm": 1.194, "forearm": 1.078,
}  # fmt: skip
ANGLES = {"knee": (62.0, 172.0), "elbow": (43.0, 159.0), "spine": (151.0, 177.0), "shoulder": (101.0, 159.0)}


def read_skeletons(path: Path | str) -> Skeletons:
    """Read skeletons of the user, centre and scale them.

    Args:
        path: a `.npy` file of numbers, (n, 17, 3): joints in the order of `h36m17`, any unit, camera frame.

    Raises:
        AssetError: no such file, or what it holds cannot be used.
    """
    wanted = f"wanted (n, {len(NAMES)}, 3): joints in the order {', '.join(NAMES)}"
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise AssetError(f"{path} is not a readable .npy file of skeletons, {wanted}") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu":
        raise AssetError(f"{path} holds no single array of numbers, {wanted}")
    if found.ndim != 3 or found.shape[1:] != (len(NAMES), 3) or not len(found):
        raise AssetError(f"{path} holds skeletons of shape {found.shape}, {wanted}")
    poses = found.astype(np.float64)
    wrong = ~np.isfinite(poses).all((1, 2))
    flat = np.linalg.norm(poses - poses[:, :1], axis=(1, 2)) < SMALLEST
    for bad, what in ((wrong, "NaN or infinite numbers"), (flat & ~wrong, "all joints in one place")):
        if bad.any():
            raise AssetError(f"{path}: skeleton {int(bad.argmax())} has {what}; leave it out")
    return standardised(poses)


@lru_cache(maxsize=4)
def drawn_skeletons(source: Literal["motions", "angles"], count: int, seed: int = 0) -> Skeletons:
    """Draw skeletons: a pure function of its arguments, read-only.

    Args:
        source: `motions`: of the embedded people, one body, without the actions that only test sets show.
            `angles`: bones of fixed lengths, joint angles from truncated normal laws.
        count: n.
        seed: >= 0.
    """
    rng = np.random.default_rng(seed)
    upright = _from_motions(count, rng) if source == "motions" else _from_angles(count, rng)
    poses = standardised(filmed(upright, rng))
    poses.flags.writeable = False
    return poses


def standardised(poses: ArrayLike) -> Skeletons:
    """Put the pelvis of (n, 17, 3) at the origin and scale each skeleton to norm 1."""
    given = np.asarray(poses, np.float64)
    centred = given - given[:, :1]
    scaled: Floats = centred / np.linalg.norm(centred, axis=(1, 2), keepdims=True)
    return scaled.astype(np.float32)


def skeleton_images(poses: ArrayLike, side: Literal["front", "side"], size: tuple[int, int]) -> Skeletons:
    """Draw skeletons without perspective: left blue, right red; a length of 1 is the shorter side.

    Args:
        poses: (n, 17, 3), the pelvis near the origin.
        side: `front` is the camera's view; `side` looks along its x axis, what was near is on the left.
        size: (H, W), pixels.

    Returns:
        (n, 3, H, W) in [0, 1].
    """
    height, width = size
    along = 0 if side == "front" else 2
    places = np.asarray(poses, np.float64)[..., [along, 1]] * min(size) + np.array([width, height]) / 2
    images = np.empty((len(places), height, width, 3), np.uint8)
    for row, joints in enumerate(places.tolist()):
        image = Image.new("RGB", (width, height), "white")
        draw = ImageDraw.Draw(image)
        for joint, parent in enumerate(joint_set(JOINT_SET).parents):
            if parent >= 0:
                color = COLORS.get(NAMES[joint].partition(" ")[0], "black")
                draw.line([*joints[parent], *joints[joint]], fill=color, width=max(1, min(size) // 48))
        images[row] = np.asarray(image)
    return (images.transpose(0, 3, 1, 2) / 255).astype(np.float32)


def filmed(poses: Floats, rng: Generator) -> Floats:
    """See upright skeletons (y up, facing z) from all sides, with a camera that looks down a little."""
    yaw = rng.uniform(0, 2 * np.pi, len(poses))
    tilt = np.radians(rng.normal(*TILT_DEG, len(poses)))
    turned = poses @ _turn("y", yaw).swapaxes(1, 2)
    tilted: Floats = turned @ _turn("x", tilt).swapaxes(1, 2)
    tilted *= np.array([1.0, -1.0, -1.0])
    return tilted


def _from_motions(count: int, rng: Generator) -> Floats:
    """Draw clips of the mean body until there are enough frames, and mix them."""
    body = surrogate_body()
    vertices, rest = body.shape(np.zeros(1))
    wanted = regressor(body, JOINT_SET) @ vertices.astype(np.float64)  # (17, 3)
    distance = np.linalg.norm(wanted[:, None] - rest, axis=2)  # 0 but for the joints of the head
    carrier = distance.argmin(1)
    carrier[[NAMES.index("nose"), NAMES.index("head")]] = SMPL["head"]
    offset = wanted - rest[carrier]
    names = [name for name in ACTIONS if name not in HELD_OUT]
    shares = np.array([ACTIONS[name].share for name in names])
    times = FRAME_STEP_S * np.arange(FRAMES, dtype=np.float64)
    found = []
    for _ in range(-(-count // FRAMES)):
        name = names[rng.choice(len(names), p=shares / shares.sum())]
        motion = draw_motion(name, rng, rest, body.parents, times_s=times, heading_rad=0.0)
        moved = motion.turned[:, carrier] @ offset[None, :, :, None]
        found.append(motion.joints[:, carrier] + moved[..., 0])
    return rng.permutation(np.concatenate(found))[:count]


def _from_angles(count: int, rng: Generator) -> Floats:
    """Draw joint angles; those without a measured range follow everyday poses (design choice)."""

    def draw(low: float, high: float) -> Floats:
        """Degrees in a range, as radians: normal about its middle, a quarter of it wide, cut at its ends."""
        middle, sd = (low + high) / 2, (high - low) / 4
        drawn: Floats = truncnorm.rvs(-2, 2, loc=middle, scale=sd, size=count, random_state=rng)
        drawn *= np.pi / 180
        return drawn

    at: dict[str, Floats] = {"pelvis": np.zeros((count, 3))}
    pelvis = np.broadcast_to(np.eye(3), (count, 3, 3))
    bend, aside = np.pi - draw(*ANGLES["spine"]), draw(-60, 60)
    chest = _turn("y", aside) @ _turn("x", bend) @ _turn("y", -aside + draw(-30, 30))
    at["spine"] = pelvis[..., 1]
    at["thorax"] = at["spine"] + LENGTHS["back"] * chest[..., 1]
    nod, turn = draw(0, 50), draw(-50, 50)
    neck = chest @ _turn("y", turn) @ _turn("x", nod)
    at["nose"] = at["thorax"] + LENGTHS["neck"] * neck[..., 1]
    at["head"] = at["nose"] + LENGTHS["head"] * (neck @ _turn("x", -draw(10, 50)))[..., 1]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        # a thigh hangs along -y of its own frame, the knee bends about x, backwards
        thigh = pelvis @ _turn("x", -draw(-20, 100)) @ _turn("z", sign * draw(-10, 40))
        thigh = thigh @ _turn("y", sign * draw(-20, 30))
        shin = thigh @ _turn("x", np.pi - draw(*ANGLES["knee"]))
        at[f"{side} hip"] = at["pelvis"] + sign * LENGTHS["hip"] * pelvis[..., 0]
        at[f"{side} knee"] = at[f"{side} hip"] - LENGTHS["thigh"] * thigh[..., 1]
        at[f"{side} ankle"] = at[f"{side} knee"] - LENGTHS["shin"] * shin[..., 1]
        # an arm lies along x: down by the angle at the shoulder, round the shoulder's axis, bent forwards
        lift = draw(-10, 10)
        shoulder = chest @ _turn("z", sign * lift)
        drop = np.pi - draw(*ANGLES["shoulder"])
        arm = shoulder @ _turn("x", -draw(-40, 150)) @ _turn("z", -sign * drop) @ _turn("x", -draw(-30, 90))
        forearm = arm @ _turn("y", -sign * (np.pi - draw(*ANGLES["elbow"])))
        at[f"{side} shoulder"] = at["thorax"] + sign * LENGTHS["shoulder"] * shoulder[..., 0]
        at[f"{side} elbow"] = at[f"{side} shoulder"] + sign * LENGTHS["upper arm"] * arm[..., 0]
        at[f"{side} wrist"] = at[f"{side} elbow"] + sign * LENGTHS["forearm"] * forearm[..., 0]
    return np.stack([at[name] for name in NAMES], 1)


def _turn(axis: Literal["x", "y", "z"], angle: Floats) -> Floats:
    """Rotate about an axis by (n,) radians: (n, 3, 3)."""
    return axis_angle_to_matrix(angle[:, None] * np.eye(3)["xyz".index(axis)])
