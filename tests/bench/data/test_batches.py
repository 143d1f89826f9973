from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from field_kinds import FIELDS, LABELS, MODALITIES, H, J, P, W, raw_rows
from hypothesis import given
from hypothesis import strategies as st

from bench.bodymodels.joints import JOINT_SETS
from bench.data.batches import normalise_joints, to_batch
from bench.dataset import Field
from bench.errors import ConfigError, DataError

N = 6


def test_types_shapes_and_ranges_follow_the_kind() -> None:
    raw = raw_rows()
    raw["depth"][0, 0] = 9500
    det = raw["keypoints_detected"]
    det[..., 2] = 0.5
    det[0, 3] = (7, 2, 0)  # not found
    det[1, 4] = (-1, 5, 0.9)  # found outside the crop
    batch = to_batch(raw, MODALITIES, LABELS, FIELDS, "cpu", joint_set="smpl24")
    shapes = {name: (tuple(t.shape), str(t.dtype).removeprefix("torch.")) for name, t in batch.items()}
    assert shapes == {
        "sample_id": ((N,), "int64"), "valid.rgb": ((N,), "bool"),
        "rgb": ((N, 3, H, W), "float32"), "depth": ((N, 1, H, W), "float32"),
        "kp2d": ((N, J, 2), "float32"), "keypoints_pixels": ((N, J, 2), "float32"),
        "keypoints_visible": ((N, J), "bool"), "keypoints_labeled": ((N, J), "bool"),
        "parts": ((N, H, W), "int64"), "chart": ((N, H, W), "int64"), "garment": ((N, H, W), "int64"),
        "mask": ((N, H, W), "bool"), "uv": ((N, 2, H, W), "float32"), "points": ((N, P, 2), "float32"),
        "point_chart": ((N, P), "int64"), "point_uv": ((N, P, 2), "float32"),
        "keypoints": ((N, J, 4), "float32"), "joints3d": ((N, J, 3), "float32"),
        "vertices": ((N, 6890, 3), "float32"), "rotations": ((N, J, 3), "float32"),
        "camera": ((N, 3, 3), "float32"), "betas": ((N, 10), "float32"), "action": ((N,), "int64"),
        "indoors": ((N,), "bool"), "boxes": ((N, 3, 4), "float32"),
    }  # fmt: skip
    np.testing.assert_allclose(batch["rgb"][1, :, 2, 5], raw["rgb"][1, 2, 5] / 255, rtol=1e-6)
    np.testing.assert_allclose(batch["depth"][:, 0], raw["depth"] / 1000, rtol=1e-6)
    np.testing.assert_allclose(batch["uv"][1, :, 2, 5], raw["uv"][1, 2, 5] / 255, rtol=1e-6)
    np.testing.assert_allclose(batch["keypoints_pixels"][2, 3], det[2, 3, [1, 0]])  # row, col
    np.testing.assert_allclose(batch["keypoints"][2, 3], raw["keypoints"][2, 3, [1, 0, 2, 3]])
    for name in ("points", "action", "joints3d", "camera", "parts"):
        np.testing.assert_array_equal(batch[name], raw[name])
    assert (batch["keypoints_pixels"][0, 3] == -1).all() and not batch["keypoints_labeled"][0, 3]
    assert batch["keypoints_labeled"][1, 4] and not batch["keypoints_visible"][1, 4]
    assert batch["keypoints_visible"].sum() == N * J - 2


def test_a_modality_may_be_a_label_and_joints_need_no_picture_beside_them() -> None:
    raw = raw_rows()
    batch = to_batch(raw, (), ("rgb", "keypoints_detected"), FIELDS, "cpu", joint_set="smpl24")
    assert batch["rgb"].shape == (N, 3, H, W) and batch["keypoints_detected"].shape == (N, J, 3)
    alone = {"keypoints_detected": raw["keypoints_detected"]}
    assert to_batch(alone, ("kp2d",), (), FIELDS, "cpu", joint_set="smpl24")["keypoints_visible"].any()


def test_wrong_names_are_refused() -> None:
    with pytest.raises(ConfigError, match=r'unknown modality "rgbd"'):
        to_batch(raw_rows(), ("rgbd",), (), FIELDS, "cpu", joint_set="smpl24")
    with pytest.raises(ConfigError, match=r'no field "part".*Did you mean "parts"'):
        to_batch(raw_rows(), ("rgb",), ("part",), FIELDS, "cpu", joint_set="smpl24")
    joints = {"keypoints_detected": Field(dtype="float32", shape=(J, 3), kind="joints2d", flip="smpl24")}
    with pytest.raises(ConfigError, match="no images"):
        to_batch(raw_rows(), ("kp2d",), (), joints, "cpu", joint_set="smpl24")


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


def test_arrays_that_are_not_what_the_data_set_declares_are_named() -> None:
    raw = raw_rows()
    raw["rgb"] = raw["rgb"][:, 1:]
    with pytest.raises(DataError, match=rf"rgb is \({H - 1}, {W}, 3\), declared \({H}, {W}, 3\) per sample"):
        to_batch(raw, ("rgb",), (), FIELDS, "cpu", joint_set="smpl24")
    del raw["rgb"]
    with pytest.raises(DataError, match="rgb is missing, declared"):
        to_batch(raw, ("rgb",), (), FIELDS, "cpu", joint_set="smpl24")
