"""Budgets on data sets of all kinds, and what a task gets to build its network from."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from timm.layers.drop import DropPath

from bench.api import Pretrained
from bench.encoders import build_encoder
from bench.errors import ConfigError, DataError
from bench.execute.finetuning import choose, layer_rates, set_drop_path

PYRAMID = {
    "adapter": "bench.encoders.timm_pyramid:TimmPyramid", "version": 1,
    "config": {"model": "resnet10t", "options": {"channels": [8, 16, 24, 32], "stem_width": 8}},
}  # fmt: skip


VIT = {
    "adapter": "bench.encoders.vit:ViT", "version": 1,
    "config": {"image_size": 32, "patch": 8, "width": 32, "blocks": 2, "heads": 2, "out_indices": [0, 1]},
}  # fmt: skip


def data(n: int = 100, **more: Any) -> Any:
    """A data set of `n` samples, two of each cluster."""
    facts = {
        "ids": [f"s/{i:03d}" for i in range(n)], "clusters": np.arange(n) // 2, "groups": None,
        "strata": None, "classes": None, "valid": {},
    }  # fmt: skip
    found = SimpleNamespace(**{**facts, **more})
    return type("Data", (), {"__len__": lambda self: n, **vars(found)})()


TASK: Any = SimpleNamespace(targets=("parts",), unlabelled=False)


def spec(budget: str, subset: int = 0) -> dict[str, Any]:
    return {"budget": budget, "subset": subset, "task": "toy"}


def test_a_fraction_is_the_stride_rule_and_counts_labelled_samples_alone() -> None:
    valid = {"parts": np.arange(100) % 4 != 0}
    chosen = choose(data(valid=valid), data(), TASK, spec("fraction=1/5"))
    assert len(chosen.train_rows) == 15 and all(valid["parts"][chosen.train_rows])
    more: Any = SimpleNamespace(targets=("parts",), unlabelled=True)
    both = choose(data(valid=valid), data(), more, spec("fraction=1/5"))
    assert len(both.train_rows) == 15 + 25
    with pytest.raises(DataError, match="no sample of s has parts"):
        choose(data(valid={"parts": np.zeros(100, bool)}), data(), TASK, spec("fraction=1"))


def test_groups_stay_together() -> None:
    groups = np.arange(100) // 4
    for subset in (0, 3):
        rows = choose(data(groups=groups), data(), TASK, spec("fraction=1/5", subset)).train_rows
        assert len(rows) == 20 and set(np.bincount(groups[rows], minlength=25)) == {0, 4}


def test_without_a_validation_split_clusters_are_held_out() -> None:
    whole = data(n=2000)
    chosen = choose(whole, None, TASK, spec("fraction=1"))
    assert chosen.val is chosen.train is whole
    train, val = set(chosen.train_rows // 2), set(chosen.val_rows // 2)
    assert not train & val and len(chosen.train_rows) + len(chosen.val_rows) == 2000
    tenth = choose(whole, None, TASK, spec("fraction=1/10"))
    assert set(tenth.val_rows) <= set(chosen.val_rows) and len(tenth.val_rows) == 50


def test_shots_are_balanced_nested_and_by_user() -> None:
    classes, users = np.arange(120) % 3, np.arange(120) // 12
    few, many = (
        choose(data(n=120, classes=classes, clusters=users), data(), TASK, spec(f"shots={n}", 1)).train_rows
        for n in (4, 8)
    )
    assert np.bincount(classes[few]).tolist() == [4, 4, 4] and set(few) <= set(many)
    assert all(len(set(users[few[classes[few] == c]])) == 4 for c in range(3))
    with pytest.raises(ConfigError, match=r"the data of toy tell no class per sample .*; use --fractions"):
        choose(data(), data(), TASK, spec("shots=4"))


def test_layer_decay_slows_early_layers_and_needs_a_timm_model() -> None:
    encoder = build_encoder(VIT, "rgb")
    rates = layer_rates(Pretrained(encoders={"rgb": encoder}), 0.5)
    by_name = {name: rates[id(p)] for name, p in encoder.named_parameters() if p.requires_grad}
    first, last = by_name["model.blocks.0.attn.qkv.weight"], by_name["model.blocks.1.attn.qkv.weight"]
    assert by_name["model.patch_embed.proj.weight"] < first == last / 2
    with pytest.raises(ConfigError, match="timm tells no layers of the rgb encoder apart"):
        layer_rates(Pretrained(encoders={"rgb": build_encoder(PYRAMID, "rgb")}), 0.5)
    assert layer_rates(Pretrained(encoders={"rgb": encoder}), 1.0) == {}
    graph = build_encoder(
        {"adapter": "bench.encoders.graph:SemGCN", "version": 1, "config": {"width": 8, "blocks": 1}},
        "kp2d",
        "mpii16",
    )
    with pytest.raises(ConfigError, match="layer_decay: the kp2d encoder"):
        layer_rates(Pretrained(encoders={"kp2d": graph}), 0.5)


def test_drop_path_skips_blocks_in_training_alone() -> None:
    encoder = build_encoder(VIT, "rgb")
    before = {name: p.clone() for name, p in encoder.state_dict().items()}
    x = torch.rand(4, 3, 16, 16)
    plain = encoder.eval()(x).pooled
    set_drop_path(Pretrained(encoders={"rgb": encoder}), 0.9)
    assert {n: m.drop_prob for n, m in encoder.named_modules() if isinstance(m, DropPath)} == {
        f"model.blocks.{block}.drop_path{k}": 0.9 * block for block in (0, 1) for k in (1, 2)
    }
    assert encoder.state_dict().keys() == before.keys() and torch.equal(encoder(x).pooled, plain)
    assert not torch.equal(encoder.train()(x).pooled, plain)
    with pytest.raises(ConfigError, match="drop_path: the rgb encoder has no blocks"):
        set_drop_path(Pretrained(encoders={"rgb": build_encoder(PYRAMID, "rgb")}), 0.1)
