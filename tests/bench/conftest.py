from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bench.grid import registry

RECIPE = {
    "optimizer": "sgd", "lr": 0.03, "base_batch": 8, "momentum": 0.9, "weight_decay": 1e-4,
    "betas": [0.9, 0.95], "schedule": "cos_epoch", "warmup": 0.0, "clip": 0.0,
}  # fmt: skip
STAGE = {
    "adapter": "methods.cmc:CMC", "version": 1, "budget_share": 0.5,
    "config": {"dim": 8, "temperature": 0.07, "dense": "soft"}, "train": RECIPE,
    "augment": {"flip": False, "zoom": [0.75, 1.25]},
}  # fmt: skip
FILES = {
    "method/cmc": {
        "summary": "contrast", "encoders": {"rgb": "image", "depth": "image"}, "gives": ["rgb", "depth"],
        "mix": "body", "encoder_kinds": ["pyramid"],
        "stages": {"contrast": STAGE, "again": STAGE},
    },
    "method/hcmoco": {
        "summary": "dense", "encoders": {"rgb": "image", "depth": "image"},
        "gives": ["rgb", "depth", "decoder"], "mix": "body", "encoder_kinds": ["pyramid"],
        "stages": {"first": {"use": "cmc.contrast"}, "dense": {**STAGE, "adapter": "methods.hcmoco:HCMoCo"}},
    },
    "method/scratch": {
        "summary": "random", "encoders": {"rgb": "image"}, "gives": ["rgb"],
        "encoder_kinds": ["pyramid", "tokens"],
        "stages": {
            "weights": {"adapter": "methods.scratch:X", "version": 1, "budget_share": 0.0, "config": {}},
        },
    },
    "encoder/cnn": {
        "summary": "small", "kind": "pyramid", "adapter": "bench.encoders.x:X", "version": 1,
        "config": {"width": 8, "pool": None}, "pretrained": None,
    },
    "encoder/vit": {
        "summary": "tokens", "kind": "tokens", "adapter": "bench.encoders.v:V", "version": 1,
        "config": {"width": 8}, "pretrained": "vit.in1k",
    },
    **{
        f"task/{name}": {
            "summary": name, "adapter": "tasks.x:X", "version": 1, "score_version": 1, "inputs": ["rgb"],
            "data": {"people": {"source": f"d_{name}"}},
            "config": {"width": None, "weight": 10.0}, "augment": {"flip": True},
        }
        for name in ("densepose", "parsing_rgb", "parsing_depth")
    },
    "dataset/people": {
        "summary": "people", "adapter": "bench.datasets.x:X", "version": 1, "config": {"seed": 0},
        "splits": {"train": "train", "val": "val", "test": "test"}, "pairs": ["view"],
    },
    "preset/tiny": {
        "preset": {
            "name": "tiny", "summary": "minutes", "size": 64, "precision": "32-true",
            "cpu_threads": 1, "encoders": {"pyramid": "cnn", "tokens": "vit"},
            "pretrain": {
                "mixes": {"body": {"dataset": "people", "samples": {"lab": 100, "wild": 0}}},
                "samples_seen": 800, "batch": 8, "seeds": "each",
            },
            "finetune": {
                "samples": {"train": 40, "val": 10, "test": 10}, "steps": 6, "batch": 4,
                "optimizer": "adamw", "lr": {"pyramid": 1e-3, "tokens": 1e-3}, "momentum": 0.9,
                "betas": [0.9, 0.999], "weight_decay": 0.05, "schedule": "cos_warm_step", "warmup": 0.05,
                "clip": 1.0, "selection": "last", "evaluations": 2,
            },
        }
    },
}  # fmt: skip


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put in the place of the project's registry: two methods that share a stage, scratch, three tasks."""
    root = tmp_path / "configs"
    for name, body in FILES.items():
        path = root / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(body, sort_keys=False))
    monkeypatch.setattr(registry, "BUILT_IN", root)
    monkeypatch.setattr(registry, "_installed", list)
    return root
