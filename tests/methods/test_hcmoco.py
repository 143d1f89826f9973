import pytest
import torch
from torch.nn import functional as F

from bench.encoders import build_encoder
from bench.errors import ConfigError
from bench.losses.cells import draw_cells, mask_on_grid
from bench.losses.dense import dense_contrast, soft_targets
from bench.losses.joints import structure_contrast
from bench.losses.numerics import l2_normalize
from methods.cmc import CMC, CMCConfig
from methods.hcmoco import HCMoCo, HCMoCoConfig

ALL = ("rgb", "depth", "kp2d")
POINTS = {
    "points": [24, 8], "radii": [[0.5, 1.0], [1.0, 2.0]], "samples": [3, 6],
    "widths": [[[4], [4]], [[8], [8]]], "back": [[8], [8]],
}  # fmt: skip


def config(**changes):
    return HCMoCoConfig(**{"dim": 16, "dense_points": 12, **changes})


@pytest.fixture
def build(make, encoders):
    def build(modalities=ALL, **changes):
        return make(HCMoCo, config(**changes), encoders(*modalities))

    return build


def test_terms_are_finite_and_reach_every_parameter(build, batch, check_gradients):
    out = check_gradients(build(), batch)
    assert set(out.terms) == {"sample", "dense", "joint_rgb", "joint_depth", "structure"}
    for name in ("dense", "structure"):
        assert 0 < out.lower_bounds[name] < out.terms[name]


def test_without_dense_and_sparse_it_is_cmc_bitwise(make, encoders, build, batch, context):
    cmc = make(CMC, CMCConfig(dim=16, n_negatives=10), encoders(*ALL))
    ours = build(dense="off", joint=False, structure=False, n_negatives=10)
    ours.load_state_dict(cmc.state_dict())
    for step in range(2):
        a, b = (m.training_step(batch, context(step)) for m in (cmc, ours))
        assert a.terms.keys() == b.terms.keys() == {"sample"}
        assert torch.equal(a.terms["sample"], b.terms["sample"])
        for method in (cmc, ours):
            method.after_step(context(step))


def test_second_stage_continues_the_first(make, encoders, build, batch, context, train):
    cmc = make(CMC, CMCConfig(dim=16, n_negatives=10), encoders(*ALL))
    train(cmc, torch.optim.SGD(cmc.parameters(), lr=0.03), 0, 2)
    ours = build(n_negatives=10)
    missing, unexpected = ours.load_state_dict(cmc.state_dict(), strict=False)
    assert not unexpected
    assert missing
    assert all(name.startswith(tuple(ours.fresh_parameters())) for name in missing)
    a, b = (m.eval().training_step(batch, context()).terms["sample"] for m in (cmc, ours))
    assert torch.equal(a, b)


@pytest.mark.parametrize(
    "changes",
    [
        {"dense": "hard", "joint": False, "structure": False},
        {"joint": False, "structure": False},
        {"dense": "off", "structure": False},
        {"dense": "off", "joint": False},
        {"sample": False},
        {"variant": "official", "negatives": "per_sample", "n_negatives": 10},
        {"variant": "official", "dense": "hard"},
        {"share_dense_sparse_mapper": False},
        {"scl_use_keypoint_features": True, "scl_exclude_self": True},
        {"joint_reading": "bilinear", "negatives": "all"},
    ],
    ids=str,
)
def test_switches(build, batch, context, check_gradients, changes):
    method = build(**changes)
    out = check_gradients(method, batch)
    assert ("sample" in out.terms) == changes.get("sample", True)
    assert ("dense" in out.terms) == (changes.get("dense") != "off")
    assert ("joint_rgb" in out.terms) == changes.get("joint", True)
    assert ("structure" in out.terms) == changes.get("structure", True)
    method.after_step(context())


def test_tokens_are_encoded_too(make, encoders, batch, check_gradients, vit_spec):
    check_gradients(make(HCMoCo, config(), encoders(*ALL, spec=vit_spec)), batch)


@pytest.mark.parametrize("spec", ["pyramid", "vit"])
def test_losses_are_float32_under_autocast(make, encoders, batch, check_gradients, vit_spec, spec):
    chosen = encoders(*ALL, spec=vit_spec) if spec == "vit" else encoders(*ALL)
    method = make(HCMoCo, config(), chosen)
    exact = {k: v.item() for k, v in check_gradients(method, batch).terms.items()}
    with torch.autocast("cpu", torch.bfloat16):
        rounded = {k: v.item() for k, v in check_gradients(method, batch).terms.items()}
    assert rounded == pytest.approx(exact, rel=0.1)


def test_dense_loss_equals_that_of_full_maps(build, batch, context):
    method = build(sample=False, joint=False, structure=False).eval()
    loss = method.training_step(batch, context()).terms["dense"]
    mask = mask_on_grid(batch["depth"][:, 0] > 0, (8, 8))
    cells = draw_cells(mask, 12, context().draws)
    flat = (cells[..., 0] * 8 + cells[..., 1])[:, None].expand(-1, 16, -1)
    sampled = {}
    for m in ("rgb", "depth"):
        maps, mapper = method.encoders[m](batch[m]).maps, method.dense_mappers[m]
        full = torch.cat([F.interpolate(x, (8, 8), mode="bilinear", align_corners=False) for x in maps], 1)
        mapped = F.conv2d(full, mapper.weight[:, :, None, None], mapper.bias)
        sampled[m] = l2_normalize(mapped.flatten(2).gather(2, flat).mT)
    expected = dense_contrast(sampled["rgb"], sampled["depth"], soft_targets(cells), 0.07).value.mean()
    torch.testing.assert_close(loss, expected)


def test_soft_becomes_hard_for_small_sigma(build, batch, context):
    only_dense = {"sample": False, "joint": False, "structure": False}
    soft = build(**only_dense, soft_sigma=0.01).training_step(batch, context()).terms["dense"]
    hard = build(**only_dense, dense="hard").training_step(batch, context()).terms["dense"]
    torch.testing.assert_close(soft, hard)


def test_joints_are_read_where_the_finest_map_shows_them(build, batch, context):
    method = build()
    maps = method.encoders["rgb"](batch["rgb"]).maps
    coordinates = torch.stack(torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij"))
    fine = torch.cat([coordinates.expand(6, -1, -1, -1), torch.zeros(6, 6, 8, 8)], 1)
    seen = []
    method.dense_mappers["rgb"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    features = {m: method.encoders[m](batch[m]) for m in ALL}
    object.__setattr__(features["rgb"], "maps", (fine, *maps[1:]))
    method.read_joints(features, batch)
    torch.testing.assert_close(seen[0][..., :2], torch.floor(batch["keypoints_pixels"] / 4).clamp(0, 7))


def test_without_any_depth_nothing_of_depth_changes(build, batch, context, without_depth):
    method = build()
    rows = method.memory.rows("depth").clone()
    out = method.training_step(without_depth(batch, list(range(6))), context())
    assert all(torch.isfinite(t) for t in out.terms.values())
    assert out.terms["dense"] == out.terms["joint_depth"] == 0
    assert out.terms["structure"] > 0
    torch.stack(list(out.terms.values())).sum().backward()
    for part in (method.encoders["depth"], method.global_mappers["depth"], method.dense_mappers["depth"]):
        assert all(torch.equal(p.grad, torch.zeros_like(p)) for p in part.parameters())
    method.after_step(context())
    assert torch.equal(method.memory.rows("depth"), rows)


def test_taking_depth_from_one_sample_leaves_the_others_terms(build, batch, context, without_depth):
    method = build().eval()

    def terms(rows):
        out = method.training_step(without_depth(batch, rows), context())
        return {**out.terms, **out.scalars}

    whole, less = terms([]), terms([4])
    alone = [terms([i for i in range(6) if i != j]) for j in range(6)]
    dense = torch.stack([t["dense"] for t in alone])
    torch.testing.assert_close(whole["dense"], dense.mean())
    torch.testing.assert_close(less["dense"], dense[[0, 1, 2, 3, 5]].mean())
    joints = batch["keypoints_visible"].sum(1).float()
    own = torch.stack([t["joint_depth"] for t in alone])
    others = torch.tensor([0, 1, 2, 3, 5])
    torch.testing.assert_close(less["joint_depth"], (own * joints)[others].sum() / joints[others].sum())
    assert torch.equal(less["joint_rgb"], whole["joint_rgb"])


def test_no_visible_joint_and_no_measured_pixel(build, batch, check_gradients):
    empty = {
        **batch,
        "keypoints_visible": torch.zeros_like(batch["keypoints_visible"]),
        "depth": torch.zeros_like(batch["depth"]),
    }
    out = check_gradients(build(), empty)
    for name in ("dense", "joint_rgb", "joint_depth", "structure"):
        assert out.terms[name] == 0


def test_one_sample(build, context, make_batch):
    out = build().eval().training_step(make_batch(1), context())
    assert all(torch.isfinite(t) for t in out.terms.values())


def test_hidden_joints_count_only_in_the_official_variant(build, batch, context):
    moved = {**batch, "keypoints_pixels": batch["keypoints_pixels"].clone()}
    hidden = ~batch["keypoints_visible"]
    moved["keypoints_pixels"][hidden] = 13.0
    shown = {**batch, "keypoints_visible": torch.ones_like(hidden)}
    for variant in ("paper", "official"):
        method = build(variant=variant, sample=False, dense="off").eval()
        a, b, c = (method.training_step(x, context()).terms for x in (batch, moved, shown))
        assert all(torch.equal(a[k], b[k]) for k in a)
        assert (a["structure"] != c["structure"]).item()
    # the official one averages over all joints of all samples, hidden or not
    official = build(variant="official", sample=False, dense="off", structure=False).eval()
    first_cell = {**batch, "keypoints_pixels": torch.where(hidden[..., None], 0.0, batch["keypoints_pixels"])}
    first_cell["keypoints_visible"] = torch.ones_like(hidden)
    a, b = (official.training_step(x, context()).terms["joint_rgb"] for x in (batch, first_cell))
    torch.testing.assert_close(a, b)


def test_official_structure_keeps_absent_rows_as_negatives_and_divides_by_all(
    build, batch, context, without_depth
):
    stripped = without_depth(batch, [0, 1])
    stripped["keypoints_visible"][:] = True
    options = {"sample": False, "dense": "off", "joint": False}
    paper = build(**options).eval().training_step(stripped, context()).terms["structure"]
    official_method = build(**options, variant="official").eval()
    official = official_method.training_step(stripped, context()).terms["structure"]
    features = {m: official_method.encoders[m](stripped[m]) for m in ALL}
    readings = official_method.read_joints(features, stripped)
    rows = torch.cat([readings["rgb"].flatten(0, 1), readings["depth"].flatten(0, 1)])
    valid = torch.cat([torch.ones(96), torch.zeros(32), torch.ones(64)]).bool()
    labels, everything = torch.arange(16).repeat(12), torch.ones(192, dtype=torch.bool)
    (values, _), usable = structure_contrast(rows, labels, valid, everything, 0.07)
    torch.testing.assert_close(official, values[usable].sum() / 192)
    (values, _), usable = structure_contrast(rows, labels, valid, valid, 0.07)
    torch.testing.assert_close(paper, values[usable].mean())


def test_official_hard_targets_take_repeated_cells_for_different_ones(build, batch, context):
    options = {"sample": False, "joint": False, "structure": False, "dense": "hard", "dense_points": 40}
    narrow = {**batch, "depth": batch["depth"].clone()}
    narrow["depth"][:, :, :, 12:] = 0  # one column of cells, so cells repeat in both variants
    paper = build(**options).training_step(narrow, context())
    official = build(**options, variant="official").training_step(narrow, context())
    assert official.lower_bounds["dense"] == 0 < paper.lower_bounds["dense"]
    assert official.terms["dense"].item() == pytest.approx(paper.terms["dense"].item(), rel=0.01)


def test_resume_is_exact(build, check_resume):
    check_resume(build, torch.optim.SGD, lr=0.03, momentum=0.9)


def with_points(encoders, **changes):
    """Return encoders, that of depth one of points; it reads the camera."""
    points = {"adapter": "bench.encoders.pointnet2:PointNet2", "version": 1, "config": POINTS | changes}
    return {**encoders("rgb", "kp2d"), "depth": build_encoder({**points, "kind": "points"}, "depth")}


def test_depth_as_points(make, encoders, batch, context, check_gradients, without_depth):
    method = make(HCMoCo, config(), with_points(encoders))
    camera = torch.tensor([[40.0, 0, 16], [0, 40, 16], [0, 0, 1]]).expand(6, 3, 3)
    seen = {**batch, "camera": camera}
    out = check_gradients(method, seen)
    assert set(out.terms) == {"sample", "dense", "joint_rgb", "joint_depth", "structure"}
    for rows in ([1, 4], list(range(6))):
        check_gradients(method, {**without_depth(batch, rows), "camera": camera})
    optimizer = torch.optim.SGD(method.parameters(), lr=0.01, momentum=0.9)
    losses = []
    for step in range(12):
        terms = method.training_step(seen, context(step)).terms
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        method.after_step(context(step))
        losses.append(terms["joint_depth"].item() + terms["dense"].item())
    assert losses[-1] < losses[0]
    assert set(method.export().modules) == {"dense_mapper_rgb", "dense_mapper_depth", "alignment"}


def test_points_must_fit(make, encoders):
    with pytest.raises(ConfigError, match="of colour is 4, of depth 8"):
        make(HCMoCo, config(), with_points(encoders, stride=8))
    with pytest.raises(ConfigError, match="variant=official has no encoder of points"):
        make(HCMoCo, config(variant="official"), with_points(encoders))


def test_unusable_combinations_are_refused(build):
    with pytest.raises(ConfigError, match="dense level"):
        build(modalities=("rgb", "kp2d"))
    with pytest.raises(ConfigError, match="kp2d"):
        build(modalities=("rgb", "depth"))
    with pytest.raises(ConfigError, match="width 16 must equal dim 8"):
        build(dim=8)
    assert build(modalities=("rgb", "kp2d"), dense="off").dense_modalities == ("rgb",)
    assert build(modalities=("rgb", "depth"), joint=False, structure=False).dense_mappers
