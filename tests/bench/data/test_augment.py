from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from field_kinds import FIELDS, H, P, W, draws, fields_of, make_batch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.bodymodels.joints import JOINT_SETS
from bench.bodymodels.surface import DP24_FLIP, DP24_NAMES, P25_FLIP, P25_NAMES
from bench.data import augment as module
from bench.data.augment import affine
from bench.dataset import Field
from bench.errors import ConfigError
from bench.grid.augment_spec import Spec

N = 6
FULL = {
    "zoom": [0.75, 1.25],
    "rotation": 30.0,
    "rotation_p": 0.8,
    "shift": 0.1,
    "flip": True,
    "crop_area": [0.6, 1],
}
Batch = dict[str, Tensor]


def augment(batch: Batch, spec: Any, seed: int = 0, fields: dict[str, Field] = FIELDS) -> Batch:
    return module.augment(batch, fields, spec, draws(seed), joint_set="smpl24")


def equal(a: Batch, b: Batch) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def without(batch: Batch, *names: str) -> Batch:
    return {name: values for name, values in batch.items() if name not in names}


def all_mirrored() -> int:
    """A seed with which chance mirrors every sample."""
    uniform = (draws(s).rand(N, 9, dtype=torch.float64) for s in range(10_000))
    return next(s for s, draw in enumerate(uniform) if (draw[:, 0] < 0.5).all())


def mirrored(batch: Batch) -> Batch:
    return augment(batch, {"flip": True}, all_mirrored())


def test_a_spec_that_changes_nothing_draws_nothing() -> None:
    batch = make_batch()
    state = draws()
    before = state.generator.get_state()
    for spec in ({}, {"zoom": [1.0, 1.0], "rotation": 0.0, "flip": False, "shift": 0}, Spec()):
        out = module.augment(batch, FIELDS, spec, state, joint_set="smpl24")
        assert torch.equal(out.pop("crop"), torch.eye(3).repeat(N, 1, 1))
        assert all(out[name] is batch[name] for name in batch) and out.keys() == batch.keys()
    assert torch.equal(state.generator.get_state(), before)


def test_mirroring_twice_is_the_identity() -> None:
    batch = make_batch()
    once = mirrored(batch)
    assert torch.equal(once["rgb"], batch["rgb"].flip(-1))
    again = mirrored(once)
    torch.testing.assert_close(again.pop("crop"), torch.eye(3).repeat(N, 1, 1))
    for name, values in batch.items():
        torch.testing.assert_close(again[name], values, atol=2e-5, rtol=0)
    exact = (
        "rgb",
        "depth",
        "parts",
        "chart",
        "garment",
        "mask",
        "point_chart",
        "keypoints_labeled",
        "vertices",
    )
    for name in (*exact, "joints3d", "rotations"):
        assert torch.equal(again[name], batch[name]) and not torch.equal(once[name], batch[name]), name
    for name in ("betas", "action", "indoors", "sample_id", "valid.rgb"):
        assert once[name] is batch[name]


def test_mirroring_swaps_the_sides() -> None:
    batch = make_batch()
    once = mirrored(batch)
    for table, names in ((P25_FLIP, P25_NAMES), (DP24_FLIP, DP24_NAMES)):
        for k, name in enumerate(names):
            left, right = name.replace("left", "right"), name.replace("right", "left")
            assert names[table[k]] in (left, right)
    assert torch.equal(once["parts"], torch.from_numpy(P25_FLIP.astype(int))[batch["parts"].flip(-1)])
    assert torch.equal(once["chart"], torch.from_numpy(DP24_FLIP.astype(int))[batch["chart"].flip(-1)])
    assert torch.equal(once["garment"], batch["garment"].flip(-1))  # has no sides
    names = JOINT_SETS["smpl24"].names
    knee, other = names.index("left knee"), names.index("right knee")
    torch.testing.assert_close(once["keypoints"][:, knee, 0], batch["keypoints"][:, other, 0])
    torch.testing.assert_close(once["keypoints"][:, knee, 1], W - batch["keypoints"][:, other, 1])
    for name, signs in (("joints3d", [-1.0, 1.0, 1.0]), ("rotations", [1.0, -1.0, -1.0])):
        torch.testing.assert_close(once[name][:, knee], batch[name][:, other] * torch.tensor(signs))
    torso = (once["chart"] == 1) | (once["chart"] == 2)
    torch.testing.assert_close(once["uv"][:, 0][torso], 1 - batch["uv"].flip(-1)[:, 0][torso])
    torch.testing.assert_close(once["uv"][:, 0][~torso], batch["uv"].flip(-1)[:, 0][~torso])
    torch.testing.assert_close(once["uv"][:, 1], batch["uv"].flip(-1)[:, 1])


@given(st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_points_follow_their_pixels(seed: int) -> None:
    """A marked pixel lands where its point lands: the label under a moved point is the label of the point."""
    batch = without(make_batch(seed), "vertices")
    once = augment(batch, FULL, seed)
    n, p = torch.nonzero(once["point_chart"], as_tuple=True)
    assert len(n) > P  # most points stay in the image
    row, column = once["points"][n, p].round().long().T
    agrees = once["chart"][n, row, column] == once["point_chart"][n, p]
    assert agrees.float().mean() > 0.85  # blocks are four pixels wide; at their borders rounding decides
    gone = once["point_chart"] == 0
    assert (once["points"][gone] == -1).all() and (once["point_uv"][gone] == 0).all()


def test_a_single_marked_pixel_lands_where_its_point_lands() -> None:
    rgb = torch.zeros(N, 3, H, W)
    rgb[:, :, 20, 9] = 1
    batch = {"rgb": rgb, "points": torch.tensor([[[20.0, 9.0]]]).repeat(N, 1, 1)}
    for distribution in ("uniform", "normal"):
        spec = {
            "zoom": [1.0, 1.2],
            "rotation": 40.0,
            "shift": 0.1,
            "flip": True,
            "distribution": distribution,
        }
        once = augment(batch, spec, 3)
        present = (once["points"] > -1).all(-1)[:, 0]
        assert present.sum() >= 4
        for n in torch.nonzero(present).flatten().tolist():
            weight = once["rgb"][n, 0]
            centre = torch.stack(
                [(weight.sum(1) * torch.arange(H)).sum(), (weight.sum(0) * torch.arange(W)).sum()]
            )
            assert (centre / weight.sum() - once["points"][n, 0]).norm() < 0.45


def test_labels_and_picture_agree_after_rotation() -> None:
    batch = make_batch()
    once = augment(batch, {"rotation": 30.0, "zoom": [1.0, 1.4]}, 1)
    classes, other = once["rgb"][:, 0] * 25.5, once["rgb"][:, 1] * 255
    sharp = ((classes - classes.round()).abs() < 1e-3) & ((other - classes).abs() < 1e-2) & once["mask"]
    assert sharp.float().mean() > 0.2
    agrees = classes.round().long()[sharp] == once["chart"][sharp]
    assert agrees.float().mean() > 0.99  # between two blocks a mean may be whole, too
    torch.testing.assert_close(once["depth"][:, 0] * 10, once["chart"].float())
    assert torch.equal(once["mask"], once["parts"] > 0)
    assert (once["uv"][:, 0][~once["mask"]] == 0).all()


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_the_crop_leads_back(seed: int) -> None:
    """Its inverse brings joints, points and intrinsics back, and it composes over two augmentations."""
    batch = without(make_batch(seed), "vertices")
    once = augment(batch, {**FULL, "flip": False}, seed)
    back = torch.linalg.inv(once["crop"].double()).float()

    def returned(positions: Tensor) -> Tensor:
        plane = torch.cat([positions.flip(-1), torch.ones_like(positions[..., :1])], -1)
        return (plane @ back.transpose(1, 2))[..., :2].flip(-1)

    torch.testing.assert_close(
        returned(once["keypoints"][..., :2]), batch["keypoints"][..., :2], atol=1e-3, rtol=0
    )
    kept = once["point_chart"] > 0
    torch.testing.assert_close(
        returned(once["points"] + 0.5)[kept], (batch["points"] + 0.5)[kept], atol=1e-3, rtol=0
    )
    twice = augment(once, FULL, seed + 1)
    alone = augment(batch, FULL, seed + 1)
    torch.testing.assert_close(twice["crop"], alone["crop"] @ once["crop"], atol=1e-3, rtol=1e-4)


@given(st.integers(0, 1000), st.booleans(), st.floats(0, 90))
@settings(max_examples=20, deadline=None)
def test_space_and_picture_stay_one_scene(seed: int, flip: bool, rotation: float) -> None:
    batch = without(make_batch(seed), "vertices")
    spec = {**FULL, "flip": flip, "rotation": rotation, "rotation_p": 1.0 if rotation else 0.0}
    once = augment(batch, {k: v for k, v in spec.items() if rotation or not k.startswith("rotation")}, seed)
    seen = once["joints3d"].double() @ once["camera"].double().transpose(1, 2)
    places = (seen[..., :2] / seen[..., 2:]).flip(-1).float()
    torch.testing.assert_close(places, once["keypoints"][..., :2], atol=1e-3, rtol=1e-4)


def test_a_turned_body_keeps_its_pose() -> None:
    """Only the first rotation changes; as matrices it is the turn of the image times the old one."""
    batch = make_batch()
    once = augment(batch, {"rotation": 50.0}, 2)
    assert torch.equal(once["rotations"][:, 1:], batch["rotations"][:, 1:])
    turn = once["crop"].double().clone()
    turn[:, :2, 2] = 0
    old, new = (torch.matrix_exp(cross(b["rotations"][:, 0].double())) for b in (batch, once))
    torch.testing.assert_close(new, turn @ old, atol=1e-5, rtol=0)
    assert once["rotations"][:, 0].norm(dim=-1).max() <= math.pi + 1e-5


def cross(vector: Tensor) -> Tensor:
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(-1, 3, 3)


def test_samples_without_a_field_keep_what_stands_for_it() -> None:
    batch = make_batch()
    batch["valid.parts"] = torch.arange(N) % 2 == 0
    batch["parts"][1::2] = 255
    batch["valid.keypoints"] = batch["valid.parts"]
    batch["keypoints"][1::2] = 0
    once = augment(batch, FULL, all_mirrored())
    for name in ("parts", "keypoints"):
        assert torch.equal(once[name][1::2], batch[name][1::2])
        assert not torch.equal(once[name][::2], batch[name][::2])


def test_a_quarter_turn_is_exact() -> None:
    options = Spec(rotation=90.0)
    uniform = torch.full((1, 9), 0.5, dtype=torch.float64)
    uniform[0, 2] = 1.0  # the largest angle
    forward = affine(options, torch.tensor([False]), uniform, torch.zeros(1, 2), (H, H))
    corner = forward[0] @ torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(corner, torch.tensor([H, 0.0, 1.0], dtype=torch.float64))  # (x, y)
    forward = affine(options, torch.tensor([False]), uniform, torch.zeros(1, 2), (H, W))
    middle = forward[0] @ torch.tensor([W / 2, H / 2, 1.0], dtype=torch.float64)
    torch.testing.assert_close(middle, torch.tensor([W / 2, H / 2, 1.0], dtype=torch.float64))


def test_crop_and_scale_have_their_size() -> None:
    uniform = draws().rand(200, 9, dtype=torch.float64)
    no = torch.zeros(200, dtype=torch.bool)
    normal = torch.zeros(200, 2, dtype=torch.float64)
    crops = affine(Spec(crop_area=(0.25, 0.25)), no, uniform, normal, (H, W))
    back = torch.linalg.inv(crops)
    for corner in ((0.0, 0.0), (W, H)):
        seen = back @ torch.tensor([*corner, 1.0], dtype=torch.float64)
        within = torch.tensor([W, H]) + 1e-9
        assert (seen[:, :2] >= -1e-9).all() and (seen[:, :2] <= within).all()  # inside the image
    torch.testing.assert_close(torch.linalg.det(crops), torch.full((200,), 4.0, dtype=torch.float64))
    scaled = torch.linalg.det(affine(Spec(zoom=(0.5, 2.0)), no, uniform, normal, (H, W))).sqrt()
    assert 0.5 <= scaled.min() < 0.6 and 1.9 < scaled.max() <= 2
    shifted = affine(Spec(shift=0.1), no, uniform, normal, (H, W))[:, :2, 2].abs().amax(0)
    assert 0.09 * W < shifted[0] <= 0.1 * W and 0.09 * H < shifted[1] <= 0.1 * H


def test_the_normal_law_is_clipped() -> None:
    normal = draws().randn(4000, 2, dtype=torch.float64)
    uniform = draws(1).rand(4000, 9, dtype=torch.float64)
    options = Spec(zoom=(0.75, 1.25), rotation=30.0, rotation_p=0.6, distribution="normal")
    matrix = affine(options, torch.zeros(4000, dtype=torch.bool), uniform, normal, (H, W))
    scale = torch.linalg.det(matrix).sqrt()
    assert scale.min() == pytest.approx(0.75) and scale.max() == pytest.approx(1.25)
    degrees = torch.atan2(matrix[:, 1, 0], matrix[:, 0, 0]) * 180 / math.pi
    assert degrees.abs().max() == pytest.approx(60)
    assert (degrees == 0).double().mean() == pytest.approx(0.4, abs=0.03)
    assert degrees[degrees != 0].std() == pytest.approx(30 * 0.959, abs=1.5)  # clipped at two sd


def test_joints_that_leave_the_picture_become_invisible() -> None:
    batch = make_batch()
    once = augment(batch, {"zoom": [1.6, 1.6]})
    limit = torch.tensor([H, W])
    within = ((once["keypoints_pixels"] >= 0) & (once["keypoints_pixels"] < limit)).all(-1)
    assert torch.equal(once["keypoints_visible"], within & once["keypoints_labeled"])
    assert once["keypoints_visible"].sum() < batch["keypoints_visible"].sum()
    assert (once["kp2d"][~once["keypoints_visible"]] == 0).all()
    assert torch.equal(once["keypoints_labeled"], batch["keypoints_labeled"])
    places = once["keypoints"][..., :2]
    assert torch.equal(once["keypoints"][..., 3] == 2, ((places >= 0) & (places < limit)).all(-1))


def test_all_randomness_comes_from_the_draws() -> None:
    batch, spec = make_batch(), {**FULL, "color_jitter": [0.4, 0.4, 0.4, 0.1], "gray_p": 0.2, "blur_p": 0.5}
    before = {name: values.clone() for name, values in batch.items()}
    first = augment(batch, spec, 5)
    torch.manual_seed(1)
    assert equal(first, augment(batch, spec, 5))
    assert not equal(first, augment(batch, spec, 6))
    assert equal(batch, before)  # inputs are not written to


COLOURS = {"color_jitter": [0.3, 0.3, 0.3, 0.1], "gray_p": 0.3, "blur_p": 0.5, "solarize_p": 0.4}


@pytest.mark.parametrize("name", list(COLOURS))
def test_changes_of_colour_touch_nothing_else(name: str) -> None:
    batch = without(make_batch(), "vertices")
    plain = augment(batch, FULL)
    tinted = augment(batch, {**FULL, name: COLOURS[name]})
    assert equal(without(plain, "rgb"), without(tinted, "rgb"))
    assert not torch.equal(plain["rgb"], tinted["rgb"])
    assert tinted["rgb"].min() >= -1e-6 and tinted["rgb"].max() <= 1 + 1e-6


def test_chances_pick_some_samples_and_leave_the_others() -> None:
    batch = {"rgb": draws(9).rand(400, 3, 8, 8)}
    for name, share in (("gray_p", 0.25), ("blur_p", 0.5), ("solarize_p", 0.1)):
        once = augment(batch, {name: share}, fields=fields_of(8, 8))
        changed = (once["rgb"] != batch["rgb"]).flatten(1).any(1)
        assert changed.float().mean() == pytest.approx(share, abs=0.07)
    once = augment(batch, {"color_jitter": [0.4, 0.4, 0.4], "color_jitter_p": 0.8}, fields=fields_of(8, 8))
    same = (once["rgb"] == batch["rgb"]).flatten(1).all(1)
    assert same.float().mean() == pytest.approx(0.2, abs=0.07)
    whole = augment(batch, {"color_jitter": [0.4, 0.4, 0.4]}, fields=fields_of(8, 8))
    assert torch.equal(once["rgb"][~same], whole["rgb"][~same])  # the same color_jitter


def test_entries_that_cannot_be_augmented_are_refused() -> None:
    batch = make_batch()
    with pytest.raises(ConfigError, match='"posture" cannot be augmented'):
        augment({**batch, "posture": torch.zeros(N, 24, 3)}, FULL)
    with pytest.raises(ConfigError, match='"uv" can be augmented only together with "chart"'):
        augment({"rgb": batch["rgb"], "uv": batch["uv"]}, FULL)
    with pytest.raises(ConfigError, match='only together with "points"'):
        augment({"rgb": batch["rgb"], "point_uv": batch["point_uv"]}, FULL)
    with pytest.raises(ConfigError, match="no images"):
        augment({"betas": batch["betas"]}, FULL, fields={"betas": FIELDS["betas"]})
    odd = {**FIELDS, "parts": Field(dtype="uint8", shape=(H, W), kind="classes", flip="p26")}
    with pytest.raises(ConfigError, match=r'what mirroring "p26" swaps\. Did you mean "p25"'):
        augment({"parts": batch["parts"]}, FULL, fields=odd)


@pytest.mark.parametrize("count", [0, 1])
def test_small_batches(count: int) -> None:
    once = augment({k: v[:count] for k, v in make_batch().items()}, {**FULL, **COLOURS})
    assert all(len(values) == count for values in once.values())


def test_fields_of_other_joint_sets_are_mirrored_by_their_own() -> None:
    fields = {**FIELDS, "hand": Field(dtype="float32", shape=(17, 3), kind="joints2d", flip="coco17")}
    joints = draws(1).rand(N, 17, 3)
    once = augment({"hand": joints}, {"flip": True}, all_mirrored(), fields)
    order = torch.tensor(JOINT_SETS["coco17"].flip)
    torch.testing.assert_close(once["hand"][:, :, 0], joints[:, order, 0])


def test_the_numbers_of_published_runs_do_not_move() -> None:
    """What the first version of the recipe drew: maps and, after them, the numbers of the color_jitter."""
    state = draws(4)
    uniform = state.rand(3, 9, dtype=torch.float64)
    normal = state.randn(3, 2, dtype=torch.float64)
    spec = {**FULL, "crop_area": (0.6, 1.0), "zoom": (0.75, 1.25)}
    maps = affine(Spec(**spec), uniform[:, 0] < 0.5, uniform, normal, (32, 32))
    wanted = [
        [[-1.1274705446297826, 0.0, 35.7198676347483], [0.0, 1.1274705446297826, -4.515622447222486]],
        [
            [-1.0048937460127922, -0.3966818616490557, 37.70480262781044],
            [-0.3966818616490557, 1.0048937460127922, 8.829189355093197],
        ],
        [
            [-0.9612810890108927, 0.2810949730977813, 25.222551274827378],
            [0.2810949730977813, 0.9612810890108927, -5.208521138019808],
        ],
    ]
    torch.testing.assert_close(maps[:, :2], torch.tensor(wanted, dtype=torch.float64), rtol=1e-14, atol=1e-12)
    tint = [0.6975069642066956, 0.15409618616104126, 0.5051923394203186]
    assert state.rand(3, 3)[0].tolist() == tint
    fields = fields_of(32, 32)
    for batch in ({"sample_id": torch.arange(3)}, {"rgb": torch.rand(3, 3, 32, 32)}):
        module.augment(batch, fields, spec, again := draws(4), joint_set="smpl24")
        assert torch.equal(again.generator.get_state(), state.generator.get_state())


def test_boxes_move_with_the_image() -> None:
    """Painted boxes and moved boxes agree: exactly after mirroring, to a pixel after zooms and shifts."""
    batch = make_batch()
    left, top, right, bottom = (edge[..., None, None] for edge in batch["boxes"].unbind(-1))
    row, column = torch.arange(H)[:, None] + 0.5, torch.arange(W) + 0.5
    painted = (column > left) & (column < right) & (row > top) & (row < bottom)  # (N, 3, H, W)
    assert not painted[:, 2].any() and painted[:, :2].flatten(2).any(2).all()
    for k in (0, 1):
        for spec, seed, slack in (
            ({"flip": True}, all_mirrored(), 0.0),
            ({"flip": True, "zoom": [0.7, 1.4], "shift": 0.2, "crop_area": [0.6, 1.0]}, 3, 1.0),
        ):
            moved = augment({**batch, "mask": painted[:, k]}, spec, seed)
            assert not moved["boxes"][:, 2].any()
            for box, mask in zip(moved["boxes"][:, k], moved["mask"], strict=True):
                rows, columns = torch.nonzero(mask).T
                if not len(rows):  # less than a pixel is left
                    assert (box[2:] - box[:2]).min() <= 1
                    continue
                seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                assert (box - torch.tensor(seen)).abs().max() <= slack


def test_a_turned_box_holds_what_it_held() -> None:
    batch = make_batch()
    moved = augment(batch, {"rotation": 40.0, "rotation_p": 1.0})
    middle = (batch["boxes"][..., :2] + batch["boxes"][..., 2:]) / 2
    ones = torch.ones_like(middle[..., :1])
    place = (moved["crop"][:, None] @ torch.cat([middle, ones], -1)[..., None])[..., :2, 0]
    inside = (place >= 0).all(-1) & (place <= torch.tensor([W, H])).all(-1)
    inside[:, 2] = False
    assert inside.any()
    assert (place >= moved["boxes"][..., :2])[inside].all()
    assert (place <= moved["boxes"][..., 2:])[inside].all()
