"""PixPro: cells of two views that show the same place predict each other (arXiv:2011.10043)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta
from torch import Tensor, nn

from bench.api import Batch, Context, DataInfo, Encoder, Method, StepOutput
from bench.errors import ConfigError
from bench.heads.projection import channels_of_one_map, check_stride, map_projection, one_map
from bench.losses.momentum import MomentumCopy, rising_momentum
from bench.losses.numerics import in_float32, l2_normalize
from bench.losses.views import cell_distances
from bench.settings import Count, Positive, Share, Whole


@dataclass(frozen=True, slots=True, kw_only=True)
class PixProConfig:
    dim: Count = 256  # D, width of the projection
    hidden: Count = 4096  # width between its two layers
    momentum: Share = 0.99  # of the momentum encoder at the start; rises to 1
    radius: Positive = 0.7  # cells nearer than this are pairs, in diagonals of the larger cell
    sharpness: Annotated[float, Meta(ge=1)] = 2.0  # exponent of the similarity in the propagation
    # 0 = cells of the last map; else of all maps, brought to a grid of cells of so many pixels
    dense_stride: Whole = 0

    def check(self, *, where: str, views: int, size: tuple[int, int]) -> None:
        """Check that there are two views, whose crops tell which cells belong together, and cells."""
        if views != 2:
            raise ConfigError(
                f"{where.removesuffix('.config')}.views: {views} view; pairs of cells follow from the crops "
                "of two; set views=2"
            )
        check_stride(self.dense_stride, size, where)


class PixPro(Method):
    """Let the propagated cells of each view predict the momentum encoder's cells of the other; no negatives.

    Values of the loss are negative, -4 at best.
    """

    Config = PixProConfig

    def __init__(self, cfg: PixProConfig, encoders: Mapping[str, Encoder], data: DataInfo) -> None:
        super().__init__(cfg, encoders, data)
        if set(encoders) != {"rgb"}:
            raise ConfigError(f"PixPro trains one colour encoder, got {', '.join(encoders)}")
        self.cfg = cfg
        encoder = encoders["rgb"]
        channels = channels_of_one_map(encoder.feature_info, cfg.dense_stride)
        self.projector = map_projection(channels, cfg.hidden, cfg.dim, norm=True)
        self.transform = nn.Linear(cfg.dim, cfg.dim)
        self.momentum_encoder, self.momentum_projector = MomentumCopy(encoder), MomentumCopy(self.projector)

    def group(self, name: str, parameter: nn.Parameter) -> Mapping[str, Any]:
        return {"weight_decay": 0.0} if parameter.ndim <= 1 else {}  # LARS then leaves their rate as it is

    def before_step(self, ctx: Context) -> None:
        momentum = rising_momentum(self.cfg.momentum, ctx.step, ctx.total_steps)
        self.momentum_encoder.follow(self.encoders["rgb"], momentum)
        self.momentum_projector.follow(self.projector, momentum)

    def training_step(self, batch: Batch, ctx: Context) -> StepOutput:
        views = (batch["rgb"], batch["rgb2"])
        size = (views[0].shape[2], views[0].shape[3])
        online = [self.project(x, self.encoders["rgb"], self.projector) for x in views]
        target = [self.project(x, self.momentum_encoder, self.momentum_projector) for x in views]
        cells = [z.flatten(2).mT for z in online]  # (N, S, D) each
        predicted = [propagate(z, self.transform(z), self.cfg.sharpness) for z in cells]
        first, second = (z.flatten(2).mT for z in target)
        grid = (online[0].shape[2], online[0].shape[3])
        near = cell_distances(batch["crop"], batch["crop2"], grid, size) < self.cfg.radius
        agreement = consistency(predicted[0], second, near) + consistency(predicted[1], first, near.mT)
        return StepOutput(
            terms={"consistency": -2 * agreement.mean()},
            lower_bounds={"consistency": -4 * near.flatten(1).any(1).float().mean()},
            scalars={"pairs": near.sum((1, 2)).float().mean()},  # of cells per image
        )

    def project(self, x: Tensor, encoder: nn.Module, projector: nn.Module) -> Tensor:
        """Return the projected cells of images, (N, D, h, w)."""
        size = (x.shape[2], x.shape[3])
        out: Tensor = projector(one_map(encoder(x), size, self.cfg.dense_stride))
        return out


@in_float32
def propagate(cells: Tensor, values: Tensor, sharpness: float) -> Tensor:
    """Smooth values over the cells of an image that look alike (arXiv:2011.10043, Eq. 3 and 4).

    Args:
        cells: (N, S, D).
        values: (N, S, D), made unit length.
        sharpness: exponent of the cosine similarity, whose negative values count as 0.

    Returns:
        (N, S, D).
    """
    unit = l2_normalize(cells)
    alike = (unit @ unit.mT).clamp(min=0).pow(sharpness)  # (N, S, S)
    return alike @ l2_normalize(values)


@in_float32
def consistency(predicted: Tensor, target: Tensor, near: Tensor) -> Tensor:
    """Average the cosine similarity over the pairs of cells of each image (arXiv:2011.10043, Eq. 5).

    Args:
        predicted: (N, S, D).
        target: (N, T, D), of the other view.
        near: (N, S, T) bool, which cells are pairs.

    Returns:
        (N,) in -1..1; 0 for images without pairs.
    """
    alike = l2_normalize(predicted) @ l2_normalize(target).mT
    pairs = near.sum((1, 2))
    return (alike * near).sum((1, 2)) / (pairs + 1e-6)
