"""The default head of dense tasks, by kind of encoder."""

from __future__ import annotations

from bench.api import FeatureInfo
from bench.errors import ConfigError
from bench.heads.concat import ConcatHead
from bench.heads.dpt import DPTHead
from bench.heads.pixel import PixelHead


def pixel_head(info: FeatureInfo, out_channels: int, width: int | None = None) -> PixelHead:
    """Head for dense tasks: `ConcatHead` for pyramids and points, `DPTHead` for tokens.

    Args:
        info: what the encoder returns.
        out_channels: K, maps wanted.
        width: channels inside the head; None follows the encoder.

    Raises:
        ConfigError: the encoder returns no maps.
    """
    if info.kind in ("pyramid", "points"):
        return ConcatHead(info, out_channels, width)
    if info.kind == "tokens":
        return DPTHead(info, out_channels, width)
    raise ConfigError(
        f'a "{info.kind}" encoder has no image maps: dense tasks need a pyramid, tokens or points encoder'
    )
