"""What a training is fed with, on toy data, as the loop asks for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from toy_producer import Toy, typed_spec

from bench.api import Draws, seeded
from bench.data import feed as module
from bench.data.augment import augment
from bench.data.batches import to_batch
from bench.data.feed import feed, find_pairs, paired, partners
from bench.dataset import Ints
from bench.errors import ConfigError
from bench.train.process_group import BatchParts
from bench.train.run import Run

WEAK: dict[str, Any] = {"flip": True, "zoom": [0.8, 1.2]}
STRONG = {**WEAK, "crop_area": [0.2, 1.0], "color_jitter": [0.4, 0.4, 0.4], "gray_p": 0.5}
BATCH, STEPS = 6, 9


class Paired(Toy):
    """Views of one moment are pairs of kind `view`, the first view of two moments those of kind `pose`."""

    def pairs(self, kind: str) -> Ints:
        n = np.arange(0, len(self), 3)
        found = {"view": np.stack([n, n + 1], 1), "pose": np.stack([n[::2], n[1::2]], 1)}
        return found[kind] if kind in found else super().pairs(kind)


@dataclass
class Setting:
    data: Paired
    root: Path
    fabric: Fabric = field(default_factory=lambda: Fabric(accelerator="cpu", devices=1))

    def run(self, augment: Any = WEAK, **options: Any) -> Run:
        spec = {"augment": augment, "seed": 5}
        if "augment2" in options:
            spec["augment2"] = options.pop("augment2")
        step: Any = SimpleNamespace(spec=spec, resources={"data_workers": 1, "checkpoint_s": 20.0})
        train = {"batch": BATCH, "steps": STEPS}
        chosen = {"modalities": ("rgb", "depth"), "labels": ("parts", "ids"), **options}
        return feed(step, self.data, self.root, self.fabric, train=train, **chosen)


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    spec = typed_spec(("lab", "train", 36))
    Paired.prepare([spec], tmp_path)
    return Setting(Paired(spec, tmp_path), tmp_path)


def draws(step: int = 0, part: int = 0, parts: int = 1) -> Draws:
    return Draws(generator=seeded("feed", step), part=part, parts=parts)


def batches(run: Run, start: int = 0) -> list[dict[str, torch.Tensor]]:
    return [run.prepare(raw, draws(start + k)) for k, raw in enumerate(run.batches(start))]


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_labels_come_beside_the_inputs(setting: Setting) -> None:
    batch = batches(setting.run())[0]
    assert {"rgb", "depth", "parts", "ids", "crop", "sample_id", "valid.rgb"} <= batch.keys()
    assert not any(name.endswith("2") for name in batch)
    assert batch["ids"].dtype == torch.int64 and setting.run().images == 1
    with pytest.raises(ConfigError, match=r'no field "part"'):
        batches(setting.run(labels=("part",)))


def test_a_second_view_shows_the_same_samples_otherwise(setting: Setting) -> None:
    run = setting.run(STRONG, views=2)
    one = setting.run(STRONG)
    for with_two, with_one in zip(batches(run), batches(one), strict=True):
        first = {name: values for name, values in with_two.items() if not name.endswith("2")}
        assert equal(first, with_one)  # the first view does not know of the second
        assert {f"{name}2" for name in first} == with_two.keys() - first.keys()
        assert torch.equal(with_two["sample_id2"], with_two["sample_id"])
        assert (with_two["crop"] != with_two["crop2"]).flatten(1).any(1).all()
        assert not torch.equal(with_two["rgb"], with_two["rgb2"])
    assert run.images == 1


def test_the_second_view_may_have_a_recipe_of_its_own(setting: Setting) -> None:
    batch = batches(setting.run(STRONG, views=2, augment2={}))[0]
    raw = setting.data.batch(batch["sample_id"].numpy(), ["rgb", "depth"])
    plain = to_batch(raw, ("rgb", "depth"), (), setting.data.fields, "cpu", joint_set="coco17")
    assert torch.equal(batch["rgb2"], plain["rgb"]) and torch.equal(batch["depth2"], plain["depth"])
    assert torch.equal(batch["crop2"], torch.eye(3).repeat(BATCH, 1, 1))


def test_views_lie_over_each_other_where_their_crops_say(setting: Setting) -> None:
    """The first view's joints, brought into the second by both crops, are the second's."""
    batch = batches(setting.run({**WEAK, "flip": False}, views=2, labels=("keypoints",)))[0]
    across = batch["crop2"].double() @ torch.linalg.inv(batch["crop"].double())
    plane = torch.nn.functional.pad(batch["keypoints"][..., :2].flip(-1).double(), (0, 1), value=1.0)
    got = (plane @ across.transpose(1, 2))[..., :2].flip(-1).float()
    torch.testing.assert_close(got, batch["keypoints2"][..., :2], atol=1e-3, rtol=1e-4)


def test_pairs_bring_the_partner_with_draws_of_its_own(setting: Setting) -> None:
    run = setting.run(pairs=("view", "pose"))
    assert run.images == 2 and run.steps_per_epoch == (12 + 6) // BATCH
    pairs = find_pairs(setting.data, ("view", "pose"))
    known = {
        (*sorted(rows), kind) for rows, kind in zip(pairs.rows.tolist(), pairs.kind.tolist(), strict=True)
    }
    seen: list[tuple[int, int, int]] = []
    for step, batch in enumerate(batches(run)):
        assert batch["pair_kind"].dtype == torch.int64 and len(batch["rgb2"]) == BATCH
        rows = torch.stack([batch["sample_id"], batch["sample_id2"]], 1)
        seen += [
            (min(a, b), max(a, b), k)
            for (a, b), k in zip(rows.tolist(), batch["pair_kind"].tolist(), strict=True)
        ]
        state = draws(step)
        for suffix, side in (("", 0), ("2", 1)):  # one after the other from the same stream
            raw = setting.data.batch(rows[:, side].numpy(), ["rgb", "depth", "parts", "ids"])
            alone = to_batch(
                raw, ("rgb", "depth"), ("parts", "ids"), setting.data.fields, "cpu", joint_set="coco17"
            )
            alone = augment(alone, setting.data.fields, WEAK, state, joint_set="coco17")
            assert all(torch.equal(batch[f"{name}{suffix}"], values) for name, values in alone.items())
    assert set(seen) == known and len(seen) == 3 * len(known)


@pytest.mark.parametrize("options", [{}, {"views": 2}, {"pairs": ("view", "pose")}], ids=str)
def test_resume_is_exact(setting: Setting, options: dict[str, Any]) -> None:
    whole = batches(setting.run(STRONG, **options))
    for start in (1, 3, 8):
        again = batches(setting.run(STRONG, **options), start)
        assert len(again) == STEPS - start and all(map(equal, again, whole[start:]))


@pytest.mark.parametrize("options", [{}, {"views": 2}, {"pairs": ("view", "pose")}], ids=str)
@pytest.mark.parametrize("parts", [2, 3])
def test_parts_of_a_batch_make_the_batch(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], parts: int
) -> None:
    whole = batches(setting.run(STRONG, **options))[:3]
    found: list[list[dict[str, torch.Tensor]]] = []
    for part in range(parts):
        own = BatchParts(own=range(part, part + 1), of=parts)
        monkeypatch.setattr(module, "batch_parts", lambda *_, own=own: own)
        run = setting.run(STRONG, **options)
        raws = list(run.batches(0))[:3]
        found.append([run.prepare(raw, draws(k, part, parts)) for k, raw in enumerate(raws)])
    for k, batch in enumerate(whole):
        assert equal(batch, {name: torch.cat([some[k][name] for some in found]) for name in batch})


def test_rows_keep_pairs_with_both(setting: Setting) -> None:
    found = find_pairs(setting.data, ("view", "pose"), rows=[0, 1, 3, 9, 10])
    assert found.rows.tolist() == [[0, 1], [9, 10], [0, 3]] and found.kind.tolist() == [0, 0, 1]


def test_partners_at_test_take_the_kinds_in_turn_and_nobody_is_left_out(setting: Setting) -> None:
    found = partners(setting.data, ("view", "pose"))
    # 0 asks for a view; 1 for a moment, of which it has none; 2 has nobody; 3 for a moment; 4 for a view
    assert found[:6].tolist() == [1, 0, 2, 0, 3, 5]
    assert partners(setting.data, ("pose",))[:6].tolist() == [3, 1, 2, 0, 4, 5]
    with pytest.raises(ConfigError, match="no pairs of kind mirror"):
        partners(setting.data, ("mirror",))
    batch = paired({"rgb": torch.zeros(2)}, {"rgb": torch.ones(2)})
    assert sorted(batch) == ["rgb", "rgb2"] and bool(batch["rgb2"].all())


def test_partners_in_training_need_no_labels(setting: Setting) -> None:
    found = find_pairs(setting.data, ("view", "pose"), rows=[0, 4], ordered=True)
    assert found.rows.tolist() == [[0, 1], [0, 3], [4, 3]] and found.kind.tolist() == [0, 1, 0]
    few = [0, 4, 9, 12]
    run = setting.run(pairs=("view", "pose"), rows=few, first_only=("parts",))
    seen = batches(run)
    assert {int(row) for batch in seen for row in batch["sample_id"]} == set(few)
    assert all("parts" in batch and "parts2" not in batch and "ids2" in batch for batch in seen)


def test_what_cannot_be_fed_is_refused_before_work(setting: Setting) -> None:
    with pytest.raises(ConfigError, match="no pairs of kind mirror"):
        setting.run(pairs=("mirror",))
    with pytest.raises(ConfigError, match="1 or 2 views, or pairs"):
        setting.run(views=3)
    with pytest.raises(ConfigError, match="1 or 2 views, or pairs"):
        setting.run(views=2, pairs=("view",))
    with pytest.raises(ConfigError, match="rotatoin"):
        setting.run({"rotatoin": 30.0})
