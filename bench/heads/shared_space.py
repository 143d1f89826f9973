"""Encoders of several modalities, one space for their pixels, and one head that reads it."""

from __future__ import annotations

from torch import Tensor, nn

from bench.api import Batch, Encoder, Features, Pretrained
from bench.heads.mapper import DenseMapper, DenseMapperConfig
from bench.heads.pixel import upsample


class SharedSpace(nn.Module):
    """Encoders, a dense mapper for each, and two 1x1 layers on the space that the mappers share.

    Mappers and the module `alignment` are those that the method brings (`dense_mapper_<modality>`,
    `alignment`); otherwise mappers are fresh, and there is no alignment. After arXiv:2203.13815, Sec. 4.4.
    """

    def __init__(self, given: Pretrained, classes: int, *, dim: int, width: int | None = None) -> None:
        """Build what the method does not bring.

        Args:
            given: encoders by modality, and modules.
            classes: K, maps of the head.
            dim: D of the space, where the method brings no mapper.
            width: channels inside the head; None = D.
        """
        super().__init__()
        self.encoders = nn.ModuleDict(dict(given.encoders))
        self.mappers = nn.ModuleDict()
        for modality, encoder in given.encoders.items():
            own = DenseMapperConfig(channels=encoder.feature_info.channels, dim=dim)
            self.mappers[modality] = given.modules.get(f"dense_mapper_{modality}") or DenseMapper(own)
        self.alignment = given.modules.get("alignment")
        mapper = next(iter(self.mappers.values()))
        assert isinstance(mapper, DenseMapper)
        dim = mapper.cfg.dim
        self.head = nn.Sequential(
            nn.Conv2d(dim, width or dim, 1, bias=False),  # batch norm has the bias
            nn.BatchNorm2d(width or dim),
            nn.ReLU(inplace=True),
            nn.Conv2d(width or dim, classes, 1),
        )

    def encoder(self, modality: str) -> Encoder:
        """Return the encoder of a modality."""
        encoder = self.encoders[modality]
        assert isinstance(encoder, Encoder)
        return encoder

    def encode(self, batch: Batch, modality: str) -> Features:
        """Encode a modality of a batch."""
        encoder = self.encoder(modality)
        features: Features = encoder(batch[modality], *encoder.besides(batch))
        return features

    def embed(self, batch: Batch, modality: str) -> Tensor:
        """Return the pixels of a modality in the space, (N, D, h, w), unit length along D."""
        embedded: Tensor = self.mappers[modality](self.encode(batch, modality))
        return embedded

    def logits(self, embedded: Tensor, size: tuple[int, int]) -> Tensor:
        """Return what the head says of embedded pixels, (N, K, H, W) for `size` (H, W)."""
        return upsample(self.head(embedded), size)
