from __future__ import annotations

import pytest
import torch

from bench.api import DataInfo, Encoder, Pretrained
from bench.encoders import build_encoder
from bench.errors import ConfigError
from bench.grid.registry import BUILT_IN, load
from bench.heads.pair_decoder import PairDecoder, PairDecoderConfig
from tasks.body_mesh_pair import BodyMeshPair, BodyMeshPairConfig

INFO = DataInfo(n_samples=8, size=(48, 48), joint_set="smpl24")
SMALL = {"decoder_width": 16, "decoder_blocks": 1, "decoder_heads": 2, "hidden": 8}


def encoder(name: str = "vit_d96") -> Encoder:
    torch.manual_seed(0)
    return build_encoder(
        {**load(BUILT_IN / "encoder" / f"{name}.yaml", "encoder"), "name": name}, "rgb", "smpl24"
    )


def network(name: str = "vit_d96", **changes: str) -> torch.nn.Module:
    task = BodyMeshPair(BodyMeshPairConfig(**SMALL, **changes), INFO)  # type: ignore[arg-type]
    return task.network(Pretrained(encoders={"rgb": encoder(name)})).eval()


@pytest.mark.parametrize("name", ["vit_d96", "resnet10_w24"])
def test_the_second_picture_counts_unless_it_is_the_same(name: str) -> None:
    rgb, other = torch.rand(2, 3, 48, 48), torch.rand(2, 3, 48, 48)
    net = network(name)
    net.head.regressor.residuals[0].weight.data.mul_(1000)  # a fresh head says little
    with torch.no_grad():
        a, b = (net({"rgb": rgb, "rgb2": second})["pose"] for second in (rgb, other))
        assert a.shape == (2, 24, 6) and not torch.allclose(a, b, atol=1e-4)
        net.second = False
        torch.testing.assert_close(net({"rgb": rgb})["pose"], a, atol=1e-4, rtol=1e-4)
    assert not network(name, second="same").second


def test_the_decoder_of_the_method_is_used_where_it_fits() -> None:
    task = BodyMeshPair(BodyMeshPairConfig(), INFO)
    own = PairDecoder(PairDecoderConfig(inputs=96, grid=(6, 6), width=32, blocks=1, heads=4))
    net = task.network(Pretrained(encoders={"rgb": encoder()}, modules={"decoder": own}))
    assert net.decoder is own and not own.mask_token.requires_grad
    other = PairDecoder(PairDecoderConfig(inputs=96, grid=(8, 8), width=32, blocks=1, heads=4))
    with pytest.raises(ConfigError, match="no pair decoder of 6 x 6 patches"):
        task.network(Pretrained(encoders={"rgb": encoder()}, modules={"decoder": other}))
