from collections.abc import Callable

import pytest
import torch
from torch import nn

from bench.api import Batch, Context, DataInfo, Draws, Encoder, Method, StepOutput, seeded
from bench.encoders import build_encoder
from bench.train.seeding import seeded_initialisation

SIZE = 32
N = 6
JOINTS = 16

PYRAMID = {
    "adapter": "bench.encoders.timm_pyramid:TimmPyramid",
    "version": 1,
    "config": {"model": "resnet10t", "options": {"channels": [8, 16, 24, 32], "stem_width": 8}},
}
VIT = {
    "adapter": "bench.encoders.vit:ViT",
    "version": 1,
    "config": {"image_size": SIZE, "patch": 8, "width": 32, "blocks": 2, "heads": 2, "out_indices": [0, 1]},
}
GRAPH = {"adapter": "bench.encoders.graph:SemGCN", "version": 1, "config": {"width": 16, "blocks": 1}}
DATA = DataInfo(n_samples=40, size=(SIZE, SIZE), joint_set="mpii16")


@pytest.fixture(autouse=True)
def _fixed_numbers():
    """Give every test the same random numbers, whatever ran before."""
    with seeded_initialisation("test"):
        yield


@pytest.fixture
def data() -> DataInfo:
    return DATA


@pytest.fixture
def encoders() -> Callable[..., dict[str, Encoder]]:
    """Build encoders for modalities, the same weights for the same seed."""

    def build(*modalities: str, spec=PYRAMID, seed=0) -> dict[str, Encoder]:
        with seeded_initialisation("test", seed):
            return {m: build_encoder(GRAPH if m == "kp2d" else spec, m, DATA.joint_set) for m in modalities}

    return build


@pytest.fixture
def vit_spec():
    return VIT


@pytest.fixture
def make() -> Callable[..., Method]:
    """Build a method whose own weights depend on the seed alone."""

    def build(cls, cfg, encoders, data=DATA, seed=0) -> Method:
        with seeded_initialisation("test", seed):
            return cls(cfg, encoders, data)

    return build


@pytest.fixture
def batch() -> Batch:
    return draw_batch()


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    return draw_batch


def draw_batch(n: int = N, seed: int = 0) -> Batch:
    """Return a batch with all modalities; every sample is complete."""
    g = torch.Generator().manual_seed(seed)
    depth = torch.zeros(n, 1, SIZE, SIZE)
    depth[:, :, 4:28, 8:24] = 1 + torch.rand(n, 1, 24, 16, generator=g)
    everyone = torch.ones(n, dtype=torch.bool)
    return {
        "rgb": torch.rand(n, 3, SIZE, SIZE, generator=g),
        "depth": depth,
        "kp2d": torch.rand(n, JOINTS, 2, generator=g) * 2 - 1,
        "keypoints_pixels": torch.rand(n, JOINTS, 2, generator=g) * SIZE,
        "keypoints_visible": torch.rand(n, JOINTS, generator=g) < 0.8,
        "valid.rgb": everyone,
        "valid.depth": everyone.clone(),
        "valid.kp2d": everyone.clone(),
        "sample_id": torch.randperm(DATA.n_samples, generator=g)[:n],
    }


@pytest.fixture
def context() -> Callable[..., Context]:
    def build(step: int = 0, **more) -> Context:
        return Context(step=step, total_steps=10, draws=Draws(generator=seeded(0, "step", step)), **more)

    return build


@pytest.fixture
def without_depth() -> Callable[[Batch, list[int]], Batch]:
    """Take depth away from some samples, as the data set would."""

    def strip(batch: Batch, rows: list[int]) -> Batch:
        stripped = {k: v.clone() for k, v in batch.items()}
        stripped["valid.depth"][rows] = False
        stripped["depth"][rows] = 0
        return stripped

    return strip


@pytest.fixture
def train(context) -> Callable[..., StepOutput]:
    """Train some steps the way the loop does; return the last output."""

    def run(method: Method, optimizer: torch.optim.Optimizer, first: int, last: int) -> StepOutput:
        method.train()
        for step in range(first, last):
            ctx = context(step)
            method.before_step(ctx)
            optimizer.zero_grad()
            out = method.training_step(draw_batch(seed=step), ctx)
            torch.stack(list(out.terms.values())).sum().backward()
            optimizer.step()
            method.after_step(ctx)
        return out

    return run


@pytest.fixture
def check_resume(train) -> Callable[..., None]:
    """Compare four steps with two, a restart, and two more: bitwise."""

    def check(build: Callable[[], Method], kind: type[torch.optim.Optimizer], **options: float) -> None:
        whole, first = build(), build()
        whole_optimizer, first_optimizer = (kind(m.parameters(), **options) for m in (whole, first))
        train(whole, whole_optimizer, 0, 4)
        train(first, first_optimizer, 0, 2)
        second = build()
        nn.init.ones_(next(second.parameters()))  # to be overwritten
        second_optimizer = kind(second.parameters(), **options)
        second.load_state_dict(first.state_dict())
        second_optimizer.load_state_dict(first_optimizer.state_dict())
        train(second, second_optimizer, 2, 4)
        expected, state = whole.state_dict(), second.state_dict()
        assert expected.keys() == state.keys()
        assert [k for k in expected if not torch.equal(expected[k], state[k])] == []

    return check


@pytest.fixture
def check_gradients(context) -> Callable[[Method, Batch], StepOutput]:
    """Check that every trainable parameter gets a finite gradient."""

    def check(method: Method, batch: Batch) -> StepOutput:
        out = method.training_step(batch, context())
        assert all(t.dtype == torch.float32 and t.ndim == 0 and torch.isfinite(t) for t in out.terms.values())
        torch.stack(list(out.terms.values())).sum().backward()
        trained = {n: p for n, p in method.named_parameters() if p.requires_grad}
        assert [n for n, p in trained.items() if p.grad is None or not torch.isfinite(p.grad).all()] == []
        return out

    return check
