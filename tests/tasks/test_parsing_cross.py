from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from bench.adapters.loading import build_config, load_adapter
from bench.api import Batch, DataInfo, Encoder, FeatureInfo, Features, Pretrained
from bench.errors import ConfigError
from bench.grid.checks import check_plan
from bench.grid.plan import expand
from bench.grid.request import BUILT_IN, Words, resolve
from bench.losses.alignment import DenseAlignment, DenseAlignmentConfig
from tasks.parsing_cross import OTHER, CrossNetwork, ParsingCross, ParsingCrossConfig

DATA = DataInfo(n_samples=4, size=(8, 8), joint_set="smpl24")
CHANNELS = 3


class Shown(Encoder):
    """Mixes the averages of patches, and keeps what it was shown."""

    feature_info = FeatureInfo(kind="pyramid", channels=(CHANNELS,), strides=(4,), pooled=CHANNELS)

    def __init__(self) -> None:
        super().__init__()
        self.mix = torch.nn.Conv2d(1, CHANNELS, 1)
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> Features:
        self.seen.append(x.detach())
        maps = self.mix(torch.nn.functional.avg_pool2d(x.mean(1, keepdim=True), 4))
        return Features(maps=(maps,), pooled=maps.mean((2, 3)))


def task(**config: object) -> ParsingCross:
    return ParsingCross(ParsingCrossConfig(dim=5, **config), DATA)  # type: ignore[arg-type]


def network(judged: ParsingCross, **modules: torch.nn.Module) -> CrossNetwork:
    torch.manual_seed(0)
    built = judged.network(Pretrained(encoders={"rgb": Shown(), "depth": Shown()}, modules=modules))
    assert isinstance(built, CrossNetwork)
    return built


def batch() -> Batch:
    """Two labelled samples, two pairs without labels."""
    generator = torch.Generator().manual_seed(0)
    parts = torch.randint(0, 25, (4, 8, 8), generator=generator)
    parts[2:] = 255
    return {
        "rgb": torch.rand(4, 3, 8, 8, generator=generator),
        "depth": 1 + torch.rand(4, 1, 8, 8, generator=generator),
        "parts": parts,
        "valid.parts": torch.tensor([True, True, False, False]),
    }


@pytest.mark.parametrize("source", ["rgb", "depth"])
def test_yaml_fits_the_code_and_hides_the_pairs_labels(source: str) -> None:
    spec = yaml.safe_load((BUILT_IN / "task" / f"parsing_cross_{source}.yaml").read_text())
    adapter = load_adapter(spec["adapter"])
    assert build_config(adapter.Config, spec["config"], "cross") == ParsingCrossConfig(source=source)  # type: ignore[arg-type]
    assert adapter.unlabelled and all(part["hide"] == ["parts"] for part in spec["data"]["people"]["extra"])


def test_pairs_without_labels_are_a_part_of_the_training_data_alone() -> None:
    words = Words(methods="scratch", tasks="parsing_cross_rgb", fractions="0.1")
    (cell,) = expand(resolve(words)).cells
    assert cell.step is not None
    fine = cell.step.inputs[0].inputs[0].spec
    labelled, pairs = fine["data"]["train"]["parts"]
    assert pairs == {"source": "lab_rgbd", "split": "pretrain", "samples": 768, "hide": ["parts"]}
    assert labelled["source"] == "d_parse_depth" and labelled["split"] == "train" and not labelled["hide"]
    assert len(fine["data"]["val"]["parts"]) == 1
    wrong = "task.parsing_cross_rgb.data.people.extra=[{source: lab_rgbd, samples: 8}]"
    request = resolve(replace(words, overrides=(wrong,)))
    with pytest.raises(
        ConfigError, match=r'extra\.0\.source: there is no source "lab_rgbd" with a split train'
    ):
        check_plan(request, expand(request))


@pytest.mark.parametrize("source", ["rgb", "depth"])
def test_the_target_of_labelled_samples_is_never_shown(source: str) -> None:
    judged, given = task(source=source, alignment="infonce"), batch()
    built, target = network(judged), OTHER[source]
    built(given)
    (shown,) = built.encoder(target).seen  # type: ignore[misc]
    assert torch.equal(shown, given[target][2:])
    changed = {**given, target: given[target].clone()}
    changed[target][:2] = torch.rand_like(changed[target][:2])
    losses = [judged.loss(built(some), some) for some in (given, changed)]
    assert set(losses[0]) == {"ce", "alignment"}
    for name, value in losses[0].items():
        assert torch.equal(value, losses[1][name])
    # without a pair in the batch nothing is shown, and nothing breaks
    alone = {name: values[:2] for name, values in changed.items()}
    term = judged.loss(built(alone), alone)["alignment"]
    assert term == 0 and not built.encoder(target).seen[-1].any()  # type: ignore[operator, union-attr]
    del alone["valid.parts"]
    assert judged.loss(built(alone), alone)["alignment"] == 0


def test_labels_teach_the_source_and_pairs_both() -> None:
    judged, given = task(alignment="infonce"), batch()
    built = network(judged)
    terms = judged.loss(built(given), given)
    terms["ce"].backward(retain_graph=True)
    assert built.encoder("rgb").mix.weight.grad.any() and built.encoder("depth").mix.weight.grad is None  # type: ignore[union-attr, operator]
    terms["alignment"].backward()
    assert built.encoder("depth").mix.weight.grad.any()  # type: ignore[union-attr, operator]
    again = dict(given)
    again["parts"] = given["parts"].clone()
    again["parts"][:2] = 0
    assert torch.equal(judged.loss(built(again), again)["alignment"], terms["alignment"])


def test_alignment_is_the_method_s_or_none() -> None:
    own = DenseAlignment(DenseAlignmentConfig(cells=4))
    assert network(task(), alignment=own).alignment is own
    assert network(task(alignment="none"), alignment=own).alignment is None
    other = network(task(alignment="infonce"), alignment=own).alignment
    assert other is not own and isinstance(other, DenseAlignment)
    judged, given = task(), batch()
    built = network(judged)
    out = built(given)
    assert set(judged.loss(out, given)) == {"ce"} and not built.encoder("depth").seen
    assert not any(p.requires_grad for p in built.encoder("depth").parameters())
    assert all(p.requires_grad for p in built.encoder("rgb").parameters())
    assert set(built.eval()(given)) == {"source", "target"}


def test_labels_weigh_ten_times() -> None:
    given, judged = batch(), task()
    out = network(judged)(given)
    plain = task(ce_weight=1.0).loss(out, given)["ce"]
    torch.testing.assert_close(judged.loss(out, given)["ce"], 10 * plain)


def test_scores_of_target_and_source() -> None:
    truth = {"parts": np.arange(25, dtype=np.uint8).reshape(1, 5, 5).repeat(2, 0)}
    judged, ones = task(), np.ones((1, 2))
    perfect = judged.oracle_prediction(truth)
    blind = {**perfect, "target": np.zeros_like(truth["parts"])}
    for predicted, expected in ((perfect, [100.0, 100.0]), (blind, [100 / 25 / 25, 100.0])):
        found = judged.aggregate(judged.score_samples(predicted, truth), ones)
        assert [found[metric.name].item() for metric in judged.metrics] == pytest.approx(expected)
    floor = judged.floor_prediction(truth, 3)
    assert set(floor) == {"target", "source"} and floor["target"].shape == (3, 5, 5)
