from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.api import Draws
from bench.bodymodels.joints import JOINT_SETS
from bench.bodymodels.surface import DP24_FLIP, DP24_NAMES, P25_FLIP, P25_NAMES
from bench.data.augment import affine, augment
from bench.data.augment_spec import Spec
from bench.data.batches import joints_of
from bench.errors import ConfigError

N, S, J, P = 6, 32, 24, 20
FULL = {
    "scale": [0.75, 1.25],
    "rotation": 30.0,
    "rotation_p": 0.8,
    "shift": 0.1,
    "flip": True,
    "crop_scale": [0.6, 1],
}


def make_batch(seed: int = 0) -> dict[str, Tensor]:
    """Random labels; colour and depth say the class of their pixel, so that agreement can be tested."""
    random = torch.Generator().manual_seed(seed)
    blocks = torch.randint(0, 25, (N, S // 4, S // 4), generator=random)
    chart = blocks.repeat_interleave(4, 1).repeat_interleave(4, 2)
    rows = torch.randint(0, S, (N, P, 2), generator=random)
    here = torch.arange(N)[:, None]
    point_chart = chart[here, rows[..., 0], rows[..., 1]]
    uv = torch.rand(N, 2, S, S, generator=random) * (chart > 0)[:, None]
    present = (point_chart > 0)[..., None]
    known = torch.rand(N, J, generator=random) < 0.9
    pixels = torch.rand(N, J, 2, generator=random) * S
    kp = torch.cat([pixels, torch.rand(N, J, 1, generator=random), torch.full((N, J, 1), 2.0)], -1)
    return {
        "sample_id": torch.arange(N),
        "valid.rgb": torch.ones(N, dtype=torch.bool),
        "rgb": torch.stack([(chart / 25) ** k for k in (1, 2, 3)], 1),
        "depth": chart.float()[:, None] / 10,
        "parts": chart.clone(),
        "chart": chart,
        "mask": chart > 0,
        "uv": uv,
        "points": torch.where(present, rows.float(), -1.0),
        "point_chart": point_chart,
        "point_uv": uv[here, :, rows[..., 0], rows[..., 1]] * present,
        "kp": kp,
        **joints_of(torch.where(known[..., None], pixels, -1.0), known, S, "smpl24"),
    }


def draws(seed: int = 0) -> Draws:
    return Draws(generator=torch.Generator().manual_seed(seed))


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def mirrored(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Mirror every sample: of the draws, those are taken where chance mirrors."""
    uniform = (draws(s).rand(N, 9, dtype=torch.float64) for s in range(10_000))
    seed = next(s for s, draw in enumerate(uniform) if (draw[:, 0] < 0.5).all())
    return augment(batch, {"flip": True}, draws(seed))


def test_a_spec_that_changes_nothing_returns_the_batch_itself() -> None:
    batch = make_batch()
    state = draws()
    before = state.generator.get_state()
    for spec in ({}, {"scale": [1.0, 1.0], "rotation": 0.0, "flip": False, "shift": 0}, Spec()):
        assert augment(batch, spec, state) is batch
    assert torch.equal(state.generator.get_state(), before)


def test_mirroring_twice_is_the_identity() -> None:
    batch = make_batch()
    once = mirrored(batch)
    assert torch.equal(once["rgb"], batch["rgb"].flip(-1))
    again = mirrored(once)
    for name, values in batch.items():
        torch.testing.assert_close(again[name], values, atol=2e-5, rtol=0)
    for name in ("rgb", "depth", "parts", "chart", "mask", "point_chart", "kp_known", "kp_vis"):
        assert torch.equal(again[name], batch[name])
        if name != "kp_vis":
            assert not torch.equal(once[name], batch[name])


def test_mirroring_swaps_the_sides() -> None:
    batch = make_batch()
    once = mirrored(batch)
    for table, names in ((P25_FLIP, P25_NAMES), (DP24_FLIP, DP24_NAMES)):
        for k, name in enumerate(names):
            left, right = name.replace("left", "right"), name.replace("right", "left")
            assert names[table[k]] in (left, right)
    assert torch.equal(once["parts"], torch.from_numpy(P25_FLIP.astype(int))[batch["parts"].flip(-1)])
    assert torch.equal(once["chart"], torch.from_numpy(DP24_FLIP.astype(int))[batch["chart"].flip(-1)])
    names = JOINT_SETS["smpl24"].names
    knee, other = names.index("left knee"), names.index("right knee")
    torch.testing.assert_close(once["kp"][:, knee, 0], batch["kp"][:, other, 0])
    torch.testing.assert_close(once["kp"][:, knee, 1], S - batch["kp"][:, other, 1])
    torso = (once["chart"] == 1) | (once["chart"] == 2)
    torch.testing.assert_close(once["uv"][:, 0][torso], 1 - batch["uv"].flip(-1)[:, 0][torso])
    torch.testing.assert_close(once["uv"][:, 0][~torso], batch["uv"].flip(-1)[:, 0][~torso])
    torch.testing.assert_close(once["uv"][:, 1], batch["uv"].flip(-1)[:, 1])


@given(st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_points_follow_their_pixels(seed: int) -> None:
    """A marked pixel lands where its point lands: the label under a moved point is the label of the point."""
    batch = make_batch(seed)
    once = augment(batch, FULL, draws(seed))
    n, p = torch.nonzero(once["point_chart"], as_tuple=True)
    assert len(n) > P  # most points stay in the picture
    row, column = once["points"][n, p].round().long().T
    agrees = once["chart"][n, row, column] == once["point_chart"][n, p]
    assert agrees.float().mean() > 0.85  # blocks are four pixels wide; at their borders rounding decides
    gone = once["point_chart"] == 0
    assert (once["points"][gone] == -1).all() and (once["point_uv"][gone] == 0).all()


def test_a_single_marked_pixel_lands_where_its_point_lands() -> None:
    rgb = torch.zeros(N, 3, S, S)
    rgb[:, :, 20, 9] = 1
    chart = (rgb[:, 0] > 0).long()
    point = {"points": torch.tensor([[[20.0, 9.0]]]).repeat(N, 1, 1), "point_chart": torch.ones(N, 1).long()}
    batch = {"rgb": rgb, "chart": chart, **point, "point_uv": torch.zeros(N, 1, 2)}
    for law in ("uniform", "normal"):
        spec = {"scale": [1.0, 1.2], "rotation": 40.0, "shift": 0.1, "flip": True, "law": law}
        once = augment(batch, spec, draws(3))
        assert (once["point_chart"] > 0).sum() >= 4
        grid = torch.arange(S)
        for n in range(N):
            if once["point_chart"][n, 0] == 0:
                continue
            weight = once["rgb"][n, 0]
            centre = torch.stack([(weight.sum(1) * grid).sum(), (weight.sum(0) * grid).sum()]) / weight.sum()
            assert (centre - once["points"][n, 0]).norm() < 0.45


def test_labels_and_picture_agree_after_rotation() -> None:
    batch = make_batch()
    once = augment(batch, {"rotation": 30.0, "scale": [1.0, 1.4]}, draws(1))
    classes = once["rgb"][:, 0] * 25
    variance = once["rgb"][:, 1] - once["rgb"][:, 0] ** 2
    sharp = variance < 1e-5  # not at the border of two blocks
    assert sharp.float().mean() > 0.3
    assert torch.equal(classes.round().long()[sharp & once["mask"]], once["chart"][sharp & once["mask"]])
    torch.testing.assert_close(once["depth"][:, 0] * 10, once["chart"].float())
    assert torch.equal(once["mask"], once["parts"] > 0)
    assert (once["uv"][:, 0][~once["mask"]] == 0).all()


def test_a_quarter_turn_is_exact() -> None:
    options = Spec(rotation=90.0)
    uniform = torch.full((1, 9), 0.5, dtype=torch.float64)
    uniform[0, 2] = 1.0  # the largest angle
    forward = affine(options, torch.tensor([False]), uniform, torch.zeros(1, 2), S)
    corner = forward[0] @ torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(corner, torch.tensor([S, 0.0, 1.0], dtype=torch.float64))  # (x, y)


def test_crop_and_scale_have_their_size() -> None:
    uniform = draws().rand(200, 9, dtype=torch.float64)
    no = torch.zeros(200, dtype=torch.bool)
    normal = torch.zeros(200, 2, dtype=torch.float64)
    crops = affine(Spec(crop_scale=(0.25, 0.25)), no, uniform, normal, S)
    back = torch.linalg.inv(crops)
    for corner in ((0.0, 0.0), (S, S)):
        seen = back @ torch.tensor([*corner, 1.0], dtype=torch.float64)
        assert (seen[:, :2] >= -1e-9).all() and (seen[:, :2] <= S + 1e-9).all()  # inside the picture
    torch.testing.assert_close(torch.linalg.det(crops), torch.full((200,), 4.0, dtype=torch.float64))
    scaled = torch.linalg.det(affine(Spec(scale=(0.5, 2.0)), no, uniform, normal, S)).sqrt()
    assert 0.5 <= scaled.min() < 0.6 and 1.9 < scaled.max() <= 2


def test_the_normal_law_is_clipped() -> None:
    normal = draws().randn(4000, 2, dtype=torch.float64)
    uniform = draws(1).rand(4000, 9, dtype=torch.float64)
    options = Spec(scale=(0.75, 1.25), rotation=30.0, rotation_p=0.6, law="normal")
    matrix = affine(options, torch.zeros(4000, dtype=torch.bool), uniform, normal, S)
    scale = torch.linalg.det(matrix).sqrt()
    assert scale.min() == pytest.approx(0.75) and scale.max() == pytest.approx(1.25)
    degrees = torch.atan2(matrix[:, 1, 0], matrix[:, 0, 0]) * 180 / math.pi
    assert degrees.abs().max() == pytest.approx(60)
    assert (degrees == 0).double().mean() == pytest.approx(0.4, abs=0.03)
    assert degrees[degrees != 0].std() == pytest.approx(30 * 0.959, abs=1.5)  # clipped at two sd


def test_joints_that_leave_the_picture_become_invisible() -> None:
    batch = make_batch()
    once = augment(batch, {"scale": [1.6, 1.6]}, draws())
    within = ((once["kp_pix"] >= 0) & (once["kp_pix"] < S)).all(-1)
    assert (
        torch.equal(once["kp_vis"], within & once["kp_known"])
        and once["kp_vis"].sum() < batch["kp_vis"].sum()
    )
    assert (once["kp2d"][~once["kp_vis"]] == 0).all()
    assert torch.equal(once["kp_known"], batch["kp_known"])
    assert torch.equal(
        once["kp"][..., 3] == 2, ((once["kp"][..., :2] >= 0) & (once["kp"][..., :2] < S)).all(-1)
    )


def test_all_randomness_comes_from_the_draws() -> None:
    batch, spec = make_batch(), {**FULL, "jitter": [0.4, 0.4, 0.4]}
    before = {name: values.clone() for name, values in batch.items()}
    first = augment(batch, spec, draws(5))
    torch.manual_seed(1)
    assert equal(first, augment(batch, spec, draws(5)))
    assert not equal(first, augment(batch, spec, draws(6)))
    assert equal(batch, before)  # inputs are not written to


def test_an_option_does_not_change_the_others() -> None:
    batch = make_batch()
    plain = augment(batch, FULL, draws())
    tinted = augment(batch, {**FULL, "jitter": [0.3, 0.3, 0.3]}, draws())
    assert torch.equal(plain["parts"], tinted["parts"]) and not torch.equal(plain["rgb"], tinted["rgb"])


def test_jitter_changes_colour_alone() -> None:
    batch = make_batch()
    batch["rgb"] = draws().rand(N, 3, S, S)
    for jitter in ([0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]):
        once = augment(batch, {"jitter": jitter}, draws())
        assert equal({**once, "rgb": batch["rgb"]}, batch)
        assert (
            once["rgb"].min() >= 0 and once["rgb"].max() <= 1 and not torch.equal(once["rgb"], batch["rgb"])
        )
    grey = {"rgb": torch.full((N, 3, S, S), 0.4)}
    assert (augment(grey, {"jitter": [0, 0.9, 0.9]}, draws())["rgb"] - 0.4).abs().max() < 1e-6


def test_entries_that_cannot_be_augmented_are_refused() -> None:
    batch = make_batch()
    with pytest.raises(ConfigError, match='"pose" cannot be augmented'):
        augment({**batch, "pose": torch.zeros(N, 24, 3)}, FULL, draws())
    with pytest.raises(ConfigError, match="only together"):
        augment({"rgb": batch["rgb"], "uv": batch["uv"]}, FULL, draws())
    with pytest.raises(ConfigError, match="without pictures"):
        augment({"sample_id": batch["sample_id"]}, FULL, draws())
    np.testing.assert_array_equal(augment({"rgb": batch["rgb"]}, FULL, draws())["rgb"].shape, (N, 3, S, S))
