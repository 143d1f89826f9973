import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from bench.cli.main import main
from bench.encoders import build_encoder
from bench.errors import StepError
from bench.execute import sanity
from bench.execute.sanity import Person, _hits, _measure, _people, _ridge, check_sanity, shuffled
from bench.train.seeding import seeded_initialisation

PYRAMID = {
    "adapter": "bench.encoders.timm_pyramid:TimmPyramid",
    "version": 1,
    "config": {"model": "resnet10t", "options": {"channels": [8, 16, 24, 32], "stem_width": 8}},
}
VIT = {
    "adapter": "bench.encoders.vit:ViT",
    "version": 1,
    "config": {
        "image_size": [32, 16],
        "patch": 8,
        "width": 32,
        "blocks": 2,
        "heads": 2,
        "out_indices": [0, 1],
    },
}


def encoder(spec):
    with seeded_initialisation("test"):
        return build_encoder(spec, "rgb")


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(sanity, "MOST", 18)
    monkeypatch.setattr(sanity, "PYRAMID_SIZE", 32)


def test_each_tensor_keeps_its_numbers_and_tables_of_positions_their_order():
    given = encoder(VIT)
    other, again = shuffled(given), shuffled(given)
    for name, parameter in given.named_parameters():
        mixed = other.get_parameter(name)
        torch.testing.assert_close(mixed.flatten().sort()[0], parameter.flatten().sort()[0], rtol=0, atol=0)
        assert torch.equal(mixed, again.get_parameter(name))
        kept = name.endswith("pos_embed") or parameter.unique().numel() == 1
        assert torch.equal(mixed, parameter) == kept


def test_batch_norm_is_measured_on_the_pictures():
    net = encoder(PYRAMID).eval()
    people = [next(_people((32, 32))) for _ in range(4)]
    _measure(net, people)
    with torch.no_grad():
        norm = next(m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d))
        seen = []
        norm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        net(sanity._tensor(people))
    torch.testing.assert_close(norm.running_mean, seen[0].mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert not net.training and not norm.training


def test_people_are_cut_as_the_network_wants_and_are_never_seen_twice():
    stream = _people((32, 16))
    people = [next(stream) for _ in range(6)]
    assert [p.test for p in people] == [False, False, True] * 2
    assert len({p.number for p in people}) == 6
    for person in people:
        assert person.image.shape == (32, 16, 3)
        assert (person.points < [32, 16]).all() and person.parts.max() < sanity.CLASSES


def test_a_ridge_is_that_of_the_primal_problem():
    draws = torch.Generator().manual_seed(0)
    x, other = torch.randn(2, 30, 4, generator=draws, dtype=torch.float64).unbind()
    classes = torch.arange(30) % 3
    found = _ridge(x @ x.T, classes, other @ x.T, 0.5)
    wanted = torch.nn.functional.one_hot(classes, sanity.CLASSES).double()
    mean = wanted.mean(0)
    weights = torch.linalg.solve(x.T @ x + 0.5 * torch.eye(4, dtype=torch.float64), x.T @ (wanted - mean))
    torch.testing.assert_close(found, other @ weights + mean)


def test_features_that_tell_the_parts_are_read_and_noise_is_not():
    draws = np.random.default_rng(0)
    nothing = np.zeros((1, 1, 3), np.uint8)
    people = [
        Person(
            number=i,
            test=i % 3 == 2,
            image=nothing,
            points=np.zeros((sanity.POINTS, 2), np.intp),
            parts=draws.integers(0, 25, sanity.POINTS),
        )
        for i in range(30)
    ]
    told = torch.stack([torch.nn.functional.one_hot(torch.from_numpy(p.parts), 25).float() for p in people])
    noise = torch.randn(told.shape, generator=torch.Generator().manual_seed(0))
    constant = torch.ones(len(people), sanity.POINTS, 1)
    assert _hits(torch.cat([told + 0.05 * noise, constant], 2), people).min() == 1
    assert _hits(noise, people).mean() < 0.1
    assert _hits(constant, people).mean() < 0.1


def test_untrained_weights_are_warned_of(quick, tmp_path):
    state = encoder(PYRAMID)
    found = check_sanity(state, 600)
    assert not found.better and "no better than shuffled ones" in found.warning
    assert (found.train_images, found.test_images, found.size) == (12, 6, (32, 32))
    assert found.statistics in ("as it was", "measured anew")
    assert found.difference.value == pytest.approx(found.given.value - found.shuffled.value)
    vit = check_sanity(encoder(VIT), 600)
    assert (vit.size, vit.statistics, vit.better) == ((32, 16), "", False)


def test_a_network_that_is_too_slow_gets_no_verdict(quick):
    with pytest.raises(StepError, match=r"too long to tell anything in 10 s; .* --no-probe"):
        check_sanity(encoder(PYRAMID), 10, spent_s=9)


def test_the_command_warns_and_can_leave_the_probe_out(quick, tmp_path):
    import timm

    torch.save(timm.create_model("resnet18").state_dict(), file := tmp_path / "fresh.pth")
    done = CliRunner().invoke(main, ["weights", str(file), "--seconds", "600"])
    assert done.exit_code == 0, done.output
    assert "shuffled weights" in done.stdout
    assert f"{file}: these weights name body parts no better" in done.stderr
    done = CliRunner().invoke(main, ["weights", str(file), "--no-probe", "--json"])
    assert "probe" not in json.loads(done.stdout) and done.stderr == ""
