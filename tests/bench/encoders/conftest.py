import pytest
import torch

from bench.train.seeding import seeded_initialisation

PYRAMID = {
    "adapter": "bench.encoders.timm_pyramid:TimmPyramid",
    "version": 1,
    "config": {"model": "resnet10t", "options": {"channels": [8, 16, 24, 32], "stem_width": 8}},
}
VIT = {
    "adapter": "bench.encoders.vit:ViT",
    "version": 1,
    "config": {"image_size": 32, "patch": 8, "width": 32, "blocks": 3, "heads": 2, "out_indices": [0, 2]},
}


@pytest.fixture(autouse=True)
def _fixed_numbers():
    """Give every test the same random numbers, whatever ran before."""
    with seeded_initialisation("test"):
        yield


@pytest.fixture(params=[PYRAMID, VIT], ids=["pyramid", "vit"])
def spec(request):
    return request.param


@pytest.fixture
def pyramid_spec():
    return PYRAMID


@pytest.fixture
def vit_spec():
    return VIT


@pytest.fixture
def colour():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def depth():
    generator = torch.Generator().manual_seed(1)
    metres = 1 + torch.rand(2, 1, 32, 32, generator=generator)
    return metres * (torch.rand(2, 1, 32, 32, generator=generator) < 0.6)
