from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.bodymodels.joints import JOINT_SETS
from bench.data.batches import LABELS, normalise_joints, to_batch
from bench.errors import ConfigError

RNG = np.random.default_rng(0)
N, S, J = 3, 16, 24


def raw_rows() -> dict[str, np.ndarray]:
    det = RNG.uniform(0, S, (N, J, 3)).astype(np.float32)
    det[..., 2] = 0.5
    det[0, 3] = (7, 2, 0)  # not found
    det[1, 4] = (-1, 5, 0.9)  # found outside the crop
    points = np.full((N, 5, 2), -1, np.int16)
    points[:, :2] = RNG.integers(0, S, (N, 2, 2))
    return {
        "sample_id": np.arange(N),
        "valid.rgb": np.ones(N, bool),
        "rgb": RNG.integers(0, 256, (N, S, S, 3)).astype(np.uint8),
        "depth": np.array([0, 1500, 9500], np.uint16)[RNG.integers(0, 3, (N, S, S))],
        "kp_det": det,
        "kp": RNG.random((N, J, 4)).astype(np.float32),
        "parts": RNG.integers(0, 25, (N, S, S)).astype(np.uint8),
        "chart": RNG.integers(0, 25, (N, S, S)).astype(np.uint8),
        "mask": RNG.random((N, S, S)) < 0.5,
        "uv": RNG.integers(0, 256, (N, S, S, 2)).astype(np.uint8),
        "points": points,
        "point_chart": (points[..., 0] >= 0).astype(np.uint8) * 5,
        "point_uv": RNG.integers(0, 256, (N, 5, 2)).astype(np.uint8),
        "cluster": np.arange(N),
        "betas": RNG.random((N, 10)).astype(np.float32),
    }


def test_types_shapes_and_ranges() -> None:
    raw = raw_rows()
    batch = to_batch(raw, ("rgb", "depth", "kp2d"), LABELS, "cpu")
    shapes = {name: (tuple(t.shape), str(t.dtype).removeprefix("torch.")) for name, t in batch.items()}
    assert shapes == {
        "sample_id": ((N,), "int64"), "valid.rgb": ((N,), "bool"),
        "rgb": ((N, 3, S, S), "float32"), "depth": ((N, 1, S, S), "float32"),
        "kp2d": ((N, J, 2), "float32"), "kp_pix": ((N, J, 2), "float32"),
        "kp_vis": ((N, J), "bool"), "kp_known": ((N, J), "bool"),
        "parts": ((N, S, S), "int64"), "chart": ((N, S, S), "int64"), "mask": ((N, S, S), "bool"),
        "uv": ((N, 2, S, S), "float32"), "points": ((N, 5, 2), "float32"), "point_chart": ((N, 5), "int64"),
        "point_uv": ((N, 5, 2), "float32"), "kp": ((N, J, 4), "float32"), "cluster": ((N,), "int64"),
        "betas": ((N, 10), "float32"),
    }  # fmt: skip
    np.testing.assert_allclose(batch["rgb"][1, :, 2, 5], raw["rgb"][1, 2, 5] / 255, rtol=1e-6)
    np.testing.assert_allclose(batch["depth"][:, 0], raw["depth"] / 1000, rtol=1e-6)
    np.testing.assert_allclose(batch["kp_pix"][2, 3], raw["kp_det"][2, 3, [1, 0]])  # row, col
    np.testing.assert_allclose(batch["kp"][2, 3], raw["kp"][2, 3, [1, 0, 2, 3]])
    np.testing.assert_allclose(batch["points"][:, :2], raw["points"][:, :2])
    assert (batch["points"][:, 2:] == -1).all()
    assert (batch["kp_pix"][0, 3] == -1).all() and not batch["kp_known"][0, 3]
    assert batch["kp_known"][1, 4] and not batch["kp_vis"][1, 4]
    assert batch["kp_vis"].sum() == N * J - 2


def test_wrong_names_are_refused() -> None:
    with pytest.raises(ConfigError, match=r'unknown modality "rgbd"'):
        to_batch(raw_rows(), ("rgbd",), (), "cpu")
    with pytest.raises(ConfigError, match=r'no label "part" .*Did you mean "parts"'):
        to_batch(raw_rows(), ("rgb",), ("part",), "cpu")
    with pytest.raises(ConfigError, match="needs rgb or depth"):
        to_batch({"kp_det": raw_rows()["kp_det"]}, ("kp2d",), (), "cpu")


def joints(values: dict[str, tuple[float, float]], name: str = "smpl24") -> torch.Tensor:
    names = JOINT_SETS[name].names
    out = torch.zeros(1, len(names), 2)
    for joint, place in values.items():
        out[0, names.index(joint)] = torch.tensor(place)
    return out


@pytest.mark.parametrize("name", ["smpl24", "coco17", "mpii16", "reduced13"])
def test_joints_hang_on_the_mid_hip_in_every_joint_set(name: str) -> None:
    places = {
        "left hip": (10.0, 8.0),
        "right hip": (10.0, 4.0),
        "left knee": (14.0, 6.0),
        "left wrist": (999.0, 999.0),
    }
    pixels = joints(places, name)
    names = JOINT_SETS[name].names
    visible = torch.tensor([[n in ("left hip", "right hip", "left knee") for n in names]])
    got = normalise_joints(pixels, visible, visible, name)
    # the wrist is not annotated: it neither sets the scale nor keeps a value
    expected = joints({"left hip": (0.0, 0.5), "right hip": (0.0, -0.5), "left knee": (1.0, 0.0)}, name)
    torch.testing.assert_close(got, expected)


def test_root_falls_back_to_one_hip_then_to_the_visible_joints() -> None:
    places = {"left hip": (10.0, 8.0), "right hip": (10.0, 4.0), "left knee": (14.0, 6.0), "head": (2.0, 6.0)}
    names = JOINT_SETS["smpl24"].names
    pixels = joints(places)
    visible = torch.tensor([[n in ("left hip", "head") for n in names]])
    got = normalise_joints(pixels, visible, visible, "smpl24")
    assert got[0, names.index("left hip")].tolist() == [0, 0]
    assert got[0, names.index("head")].tolist() == [-1, -0.25]
    visible = torch.tensor([[n in ("left knee", "head") for n in names]])
    got = normalise_joints(pixels, visible, visible, "smpl24")
    assert got[0, names.index("left knee")].tolist() == [1, 0]
    nothing = torch.zeros_like(visible)
    assert (normalise_joints(pixels, nothing, nothing, "smpl24") == 0).all()


@given(
    st.floats(-180, 180),
    st.floats(0.2, 5),
    st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    st.integers(0, 99),
)
def test_joints_ignore_shift_and_scale_and_follow_rotation(
    degrees: float, scale: float, shift: tuple[float, float], seed: int
) -> None:
    pixels = torch.rand(1, J, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 40
    visible = torch.ones(1, J, dtype=torch.bool)
    a = math.radians(degrees)
    turn = torch.tensor([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]], dtype=torch.float64)
    before = normalise_joints(pixels, visible, visible, "smpl24")
    after = normalise_joints(scale * pixels @ turn + torch.tensor(shift), visible, visible, "smpl24")
    rotated = before @ turn
    torch.testing.assert_close(after, rotated / rotated.abs().max(), atol=1e-9, rtol=1e-9)
    assert after.abs().max() == pytest.approx(1)
