"""Body mesh from two pictures of a person: encoder, pair decoder, regressor (arXiv:2311.09104, Sec. 4).

The tokens of the first picture ask those of the second one, from another camera or moment; targets belong to
the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from bench.api import Batch, Encoder, FeatureInfo, Outputs, Pretrained
from bench.errors import ConfigError
from bench.heads.grid import map_grid
from bench.heads.pair_decoder import PairDecoder, PairDecoderConfig
from bench.heads.regressor import BodyRegressor
from bench.settings import Count
from tasks.body_mesh import BodyMesh, BodyMeshConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyMeshPairConfig(BodyMeshConfig):
    second: Literal["pair", "same"] = "pair"  # same: the first picture twice, the monocular row
    decoder_width: Count = 512  # where the method brings no decoder
    decoder_blocks: Count = 8
    decoder_heads: Count = 16

    def __post_init__(self) -> None:
        """Check that the decoder's heads share its width.

        Raises:
            ConfigError: they do not.
        """
        if self.decoder_width % self.decoder_heads or self.decoder_width % 4:
            raise ConfigError(
                f"decoder_width {self.decoder_width} must be a multiple of 4 and of decoder_heads "
                f"{self.decoder_heads}"
            )

    def unmirrored(self) -> str:
        return "each picture of a pair is mirrored on its own" if self.second == "pair" else ""


class BodyMeshPair(BodyMesh):
    """As `BodyMesh`, from the mean over the decoder's tokens. Labels of the second picture are not read."""

    Config = BodyMeshPairConfig

    def network(self, given: Pretrained) -> nn.Module:
        ((modality, encoder),) = given.encoders.items()
        grid = token_grid(encoder.feature_info, self.data.size)
        decoder = given.modules.get("decoder")
        if decoder is None:
            cfg = self.cfg
            own = PairDecoderConfig(
                inputs=encoder.feature_info.channels[-1],
                grid=grid,
                width=cfg.decoder_width,
                blocks=cfg.decoder_blocks,
                heads=cfg.decoder_heads,
            )
            decoder = PairDecoder(own)
        if not isinstance(decoder, PairDecoder) or tuple(decoder.cfg.grid) != grid:
            raise ConfigError(
                f"the method's decoder is no pair decoder of {grid[0]} x {grid[1]} patches, which images of "
                f"{self.data.size[0]} x {self.data.size[1]} pixels have; pretrain at the size of the task"
            )
        head = self.regressor(decoder.cfg.width)
        return PairNetwork(encoder, decoder, head, modality, self.cfg.second == "pair")


class PairNetwork(nn.Module):
    """Encoder of both pictures, decoder of the first one's tokens, head on their mean."""

    def __init__(
        self, encoder: Encoder, decoder: PairDecoder, head: BodyRegressor, modality: str, second: bool
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = encoder, decoder, head
        self.modality, self.second = modality, second
        decoder.mask_token.requires_grad_(False)  # nothing is hidden here

    def forward(self, batch: Batch) -> Outputs:
        """Return what the head says of the first picture."""
        x, more = batch[self.modality], self.encoder.besides(batch)
        if not self.second:
            first = second = self.tokens(x, more)
        else:
            partner = {name: batch[f"{name}2"] for name in (self.modality, *self.encoder.fields)}
            both = torch.cat([x, partner[self.modality]])  # one pass, so that batch norm sees both alike
            others = self.encoder.besides(partner)
            first, second = self.tokens(
                both, tuple(torch.cat(pair) for pair in zip(more, others, strict=True))
            ).chunk(2)
        return self.head.regress(self.decoder(first, second).mean(1))

    def tokens(self, x: Tensor, more: tuple[Tensor, ...]) -> Tensor:
        """Encode pictures to (N, L, D): the last tokens, or the cells of the last map."""
        features = self.encoder(x, *more)
        tokens: Tensor | None = features.tokens
        return features.maps[-1].flatten(2).mT if tokens is None else tokens


def token_grid(info: FeatureInfo, size: tuple[int, int]) -> tuple[int, int]:
    """Return rows and columns of an encoder's tokens, or of its last map.

    Raises:
        ConfigError: it has neither.
    """
    if info.kind not in ("pyramid", "tokens"):
        raise ConfigError(f'a "{info.kind}" encoder has no grid of tokens, which a pair decoder reads')
    return map_grid(info, size, -1)
