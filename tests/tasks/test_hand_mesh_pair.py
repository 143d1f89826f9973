from __future__ import annotations

import pytest
import torch

from bench.api import DataInfo, Pretrained
from bench.encoders import build_encoder
from bench.errors import ConfigError
from bench.grid.registry import BUILT_IN, load
from tasks.body_mesh_pair import BodyMeshPairConfig
from tasks.hand_mesh import HandMesh
from tasks.hand_mesh_pair import HandMeshPair

INFO = DataInfo(n_samples=8, size=(48, 48), joint_set="hand21")
CONFIG = BodyMeshPairConfig(decoder_width=16, decoder_blocks=1, decoder_heads=2, hidden=8)


def test_the_second_camera_counts_for_the_hand_of_the_first() -> None:
    torch.manual_seed(0)
    body = {**load(BUILT_IN / "encoder" / "vit_d96.yaml", "encoder"), "name": "vit_d96"}
    encoder = build_encoder(body, "rgb", "hand21")
    net = HandMeshPair(CONFIG, INFO).network(Pretrained(encoders={"rgb": encoder})).eval()
    net.head.regressor.residuals[0].weight.data.mul_(1000)  # a fresh head says little
    rgb, other = torch.rand(2, 3, 48, 48), torch.rand(2, 3, 48, 48)
    with torch.no_grad():
        a, b = (net({"rgb": rgb, "rgb2": second})["pose"] for second in (rgb, other))
        assert a.shape == (2, 16, 6) and not torch.allclose(a, b, atol=1e-4)
        net.second = False
        torch.testing.assert_close(net({"rgb": rgb})["pose"], a, atol=1e-4, rtol=1e-4)


def test_it_is_the_hand_and_the_scores_of_the_single_picture() -> None:
    task = HandMeshPair(CONFIG, INFO)
    assert task.metrics == HandMesh.metrics and task.model.name == "surrogate-hand-v1"
    with pytest.raises(ConfigError, match="joints hand21"):
        HandMeshPair(CONFIG, DataInfo(n_samples=8, size=(48, 48), joint_set="smpl24"))
