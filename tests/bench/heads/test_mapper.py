from __future__ import annotations

import torch
from torch.nn import functional as F

from bench.api import Features
from bench.heads.mapper import DenseMapper, DenseMapperConfig


def test_it_is_one_linear_layer_on_all_maps_at_the_finest_size() -> None:
    generator = torch.Generator().manual_seed(0)
    channels, sizes = (4, 6, 8), ((12, 8), (6, 4), (3, 2))
    maps = tuple(torch.randn(2, c, *s, generator=generator) for c, s in zip(channels, sizes, strict=True))
    mapper = DenseMapper(DenseMapperConfig(channels=channels, dim=5))
    stacked = torch.cat([F.interpolate(m, sizes[0], mode="bilinear", align_corners=False) for m in maps], 1)
    expected = F.normalize(mapper.linear(stacked.movedim(1, -1)), dim=-1).movedim(-1, 1)
    torch.testing.assert_close(mapper(Features(maps=maps, pooled=torch.zeros(2, 8))), expected)
