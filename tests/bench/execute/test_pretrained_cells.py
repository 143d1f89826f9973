"""Published weights keep their normalisation and their positions through all steps of a cell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from bench.encoders import build_encoder
from bench.encoders.image import ImageEncoder
from bench.execute.data_jobs import prepare, specs_of
from bench.execute.job import ensure
from bench.execute.site import RunContext
from bench.grid.plan import expand
from bench.grid.registry import BUILT_IN, load
from bench.grid.request import Words, resolve
from bench.records.store import Store

IMAGENET = (0.485, 0.456, 0.406)
METHODS = {  # stage and further overrides, mean of colour
    "imagenet": ("weights", ("mean=[0.5,0.5,0.5]", "std=[0.5,0.5,0.5]"), (0.5, 0.5, 0.5)),
    "cmc": ("contrast", ("init=imagenet",), IMAGENET),  # with a second stage, which goes on from the first
}


@pytest.mark.parametrize("method", METHODS)
def test_all_steps_take_what_the_weights_brought(
    method: str, tmp_path: Path, data_cache: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_DATA", str(data_cache))
    spec = load(BUILT_IN / "encoder" / "vit_d96_b4.yaml", "encoder")
    state = {k: v.clone() for k, v in build_encoder(spec, "rgb").model.state_dict().items()}
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    stage, more, mean = METHODS[method]
    changes = [
        f"method.{method}.stages.{stage}.config.{c}" for c in (f"file={tmp_path}/w.safetensors", *more)
    ]
    words = Words(methods=method, tasks="densepose", encoders="vit_d96_b4", overrides=(*small, *changes))
    plan, store = expand(resolve(words)), Store(tmp_path / "store")
    used: dict[tuple[float, ...], int] = {}  # mean -> how often, outside of training
    own = ImageEncoder.preprocess

    def spy(encoder: ImageEncoder, x: Tensor) -> Tensor:
        if encoder.modality == "rgb":
            rounded = tuple(round(v, 4) for v in encoder.normalisation[0])
            used[rounded] = used.get(rounded, 0) + (not torch.is_grad_enabled())
        return own(encoder, x)

    monkeypatch.setattr(ImageEncoder, "preprocess", spy)
    (cell,) = plan.cells
    assert cell.step is not None
    prepare(specs_of(plan), store.data, 1)
    assert ensure(cell.step, RunContext(store=str(store.root))) == "done"  # in this process, where the spy is
    assert set(used) == {mean} and used[mean] > 0
    tuned = cell.step.inputs[0].inputs[0]
    pretrained = tuned.inputs[0]
    folder = store.folder(pretrained) / "encoders" / "rgb"
    card = json.loads((folder / "encoder.json").read_text())
    assert card["spec"]["config"]["positions"] == "learned"
    assert card["inputs"]["mean"] == pytest.approx(mean)
    first = pretrained.inputs[0] if pretrained.inputs else pretrained
    record = store.record(first)
    assert record is not None
    assert record["facts"]["weights_mean"] == " ".join(map(str, mean))
    before = safetensors.torch.load_file(folder / "encoder.safetensors")["model.pos_embed"]
    after = safetensors.torch.load_file(store.folder(tuned) / "weights.safetensors")[
        "network.encoder.model.pos_embed"
    ]
    assert not torch.equal(before, after)  # fine-tuning trains it
