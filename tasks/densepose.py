"""DensePose on single-person crops: the place on the body surface at every pixel (arXiv:1802.00434)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor, nn
from torch.nn import functional as F

from bench.api import Batch, FeatureInfo, Features, Metric, Outputs, Stats, Task
from bench.bodymodels.surface import CHARTS
from bench.heads import LinearPixelProbe, PixelHead, pixel_head, read_points, upsample
from bench.heads.grid import classes_through_grid, pixel_grid
from bench.metrics.densepose import KAPPA_M, geodesic_errors, part_kappas, point_statistics
from bench.metrics.surface import surrogate_surface
from bench.metrics.weighted import weighted_sums
from bench.palette import paint_classes, shown
from bench.settings import Count, NotNegative

Floats = NDArray[np.float64]
Stack = NDArray[np.uint8]

BLOCKS = 12  # of an image's side, in which a blind guess is the same
POINT_METRICS = ("auc30", "auc10", "f_5cm", "f_10cm", "f_20cm")
PERSON_METRICS = ("gps", "macro_auc30")


@dataclass(frozen=True, slots=True, kw_only=True)
class DensePoseConfig:
    width: Count | None = None  # channels inside the head; null follows the encoder
    uv_weight: NotNegative = 10.0  # of the smooth-L1 term
    gps_kappa: Literal["constant", "parts"] = "constant"  # 0.255 m, or the SMPL table by coarse part


class DensePose(Task):
    """25 chart logits and 24 pairs (U, V); area under the curve of geodesic errors (arXiv:2311.09104)."""

    Config = DensePoseConfig
    targets = ("mask", "points", "point_chart", "point_uv")
    metrics = (
        *(Metric(name=name) for name in (*POINT_METRICS, *PERSON_METRICS)),
        Metric(name="background_share", higher_is_better=False),
    )

    def head(self, info: FeatureInfo) -> nn.Module:
        return IUVHead(pixel_head(info, 1 + 3 * CHARTS, self.cfg.width))

    def probe_head(self, protocol: str, info: FeatureInfo) -> nn.Module:
        return IUVHead(LinearPixelProbe(info, 1 + 3 * CHARTS))

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        size = (batch["mask"].shape[1], batch["mask"].shape[2])
        chart = inside(batch["point_chart"], batch["points"], size)
        read = {name: read_points(out[name], batch["points"], size) for name in ("charts", "uv")}
        return {
            "chart": chart_loss(read["charts"], chart),
            "foreground": foreground_loss(out["charts"], batch["mask"]),
            "uv": self.cfg.uv_weight * uv_loss(read["uv"], chart, batch["point_uv"]),
        }

    def predict(self, out: Outputs, batch: Batch) -> Stats:
        return {"iuv": to_iuv(out["charts"], out["uv"]).cpu().numpy()}

    def oracle_prediction(self, truth: Stats) -> Stats:
        """Put chart, U and V of every annotated point at its pixel, and background elsewhere."""
        iuv = np.zeros((len(truth["mask"]), 3, *truth["mask"].shape[1:]), np.uint8)
        sample, point = np.nonzero(truth["point_chart"])
        row, column = np.rint(truth["points"][sample, point]).astype(np.intp).T
        iuv[sample, 0, row, column] = truth["point_chart"][sample, point]
        iuv[sample, 1:, row, column] = truth["point_uv"][sample, point]
        return {"iuv": iuv}

    def floor_prediction(self, seen: Stats, n: int) -> Stats:
        """Put the commonest annotated chart with its mean U and V in each of 12 x 12 blocks.

        The metrics count annotated points alone, so that a body without end is the best blind guess.
        """
        sample, point = np.nonzero(seen["point_chart"])
        chart = seen["point_chart"][sample, point].astype(np.intp)
        block = (seen["points"][sample, point] * BLOCKS // np.array(self.data.size)).astype(np.intp)
        key = (chart * BLOCKS + block[:, 0]) * BLOCKS + block[:, 1]
        uv = seen["point_uv"][sample, point].astype(np.float64)
        sums = [np.bincount(key, w, (1 + CHARTS) * BLOCKS**2) for w in (np.ones(len(key)), *uv.T)]
        table = np.stack(sums, -1).reshape(1 + CHARTS, BLOCKS**2, 3)  # points, sums of U and V
        table += 1e-6 * table.mean(1, keepdims=True)  # blocks without a point take the commonest of all
        best = table[..., 0].argmax(0)
        count, *total = table[best, np.arange(BLOCKS**2)].T
        iuv = np.stack([best, *(values / np.maximum(count, 1e-12) for values in total)])
        rows, columns = (np.arange(side) * BLOCKS // side for side in self.data.size)
        whole = iuv.astype(np.uint8).reshape(3, BLOCKS, BLOCKS)[:, rows[:, None], columns]
        return {"iuv": np.repeat(whole[None], n, 0)}

    def ceiling_prediction(self, truth: Stats, info: FeatureInfo) -> Stats:
        """Pass charts and the body through the grid of the head; U and V are those of the chosen chart.

        Between annotated points the nearest one tells the chart. U and V, which change evenly inside a chart,
        lose next to nothing on a grid: right charts keep them, wrong ones have those of their nearest point.
        """
        chart, points, uv = (truth[name] for name in ("point_chart", "points", "point_uv"))
        people = list(zip(chart, points, uv, strict=True))
        cells, everywhere = pixel_grid(info, self.data.size), np.ones(self.data.size, bool)
        charts = np.stack([nearest_points(*person, everywhere)[0] for person in people])
        left = classes_through_grid(charts, 1 + CHARTS, cells)
        left *= classes_through_grid(
            truth["mask"].astype(np.uint8), 2, cells
        )  # decided first, as in `to_iuv`
        found = [nearest_points(*person, wanted) for person, wanted in zip(people, left, strict=True)]
        return {"iuv": np.stack(found)}

    def draw(self, predicted: Stats, truth: Stats, images: Stats) -> Mapping[str, NDArray[np.uint8]]:
        """Draw charts; of the truth, the annotated points."""
        charts = self.oracle_prediction(truth)["iuv"][:, 0]
        return {
            "input": shown(images),
            "annotated charts": paint_classes(charts),
            "predicted charts": paint_classes(predicted["iuv"][:, 0]),
        }

    def score_samples(self, predicted: Stats, truth: Stats) -> Stats:
        errors = geodesic_errors(predicted["iuv"], truth, surrogate_surface())
        kappa: Any = part_kappas(truth["point_chart"]) if self.cfg.gps_kappa == "parts" else KAPPA_M
        return point_statistics(errors, np.isinf(errors), kappa)

    def aggregate(self, rows: Stats, weights: Floats) -> dict[str, Floats]:
        totals = weighted_sums(rows, weights)  # (B,) each
        points, persons = np.maximum(1, totals["points"]), np.maximum(1, totals["persons"])
        values = {name: totals[name] / points for name in POINT_METRICS}
        values |= {name: totals[name] / persons for name in PERSON_METRICS}
        return {**values, "background_share": totals["background"] / points}


class IUVHead(nn.Module):
    """Splits the maps of a pixel head; only the chart logits are needed at every pixel while training."""

    def __init__(self, head: PixelHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Features, size: tuple[int, int]) -> Outputs:
        """Return `charts` (N, 25, H, W) logits, and `uv` (N, 48, h, w), U and V of each chart in turn."""
        charts, uv = torch.split(self.head.maps(features), [1 + CHARTS, 2 * CHARTS], 1)
        return {"charts": upsample(charts, size), "uv": uv}


def nearest_points(chart: Stack, points: NDArray[np.int16], uv: Stack, wanted: NDArray[Any]) -> Stack:
    """Spread annotated points over an image.

    Args:
        chart: 1..24, 0 = no point, (P,).
        points: row and column, (P, 2).
        uv: in 1/255, (P, 2).
        wanted: where, (H, W) bool; or the chart that points must have to be spread there, 0 = nowhere.

    Returns:
        Chart, U and V of the nearest such point at each pixel, 0 where there is none, (3, H, W).
    """
    out = np.zeros((3, *wanted.shape), np.uint8)
    for kind in np.unique(wanted[wanted != 0]):
        known = np.flatnonzero(chart > 0 if wanted.dtype == bool else chart == kind)
        if len(known):
            row, column = np.nonzero(wanted == kind)
            _, near = cKDTree(points[known]).query(np.stack([row, column], 1))
            out[0, row, column], out[1:, row, column] = chart[known[near]], uv[known[near]].T
    return out


def inside(chart: Tensor, points: Tensor, size: tuple[int, int]) -> Tensor:
    """Charts of the points (N, P), 0 for points that lie outside the image of `size` (H, W)."""
    limit = torch.tensor(size, device=points.device) - 0.5
    return chart * ((points >= -0.5) & (points < limit)).all(-1)


def chart_loss(logits: Tensor, chart: Tensor) -> Tensor:
    """Cross-entropy of the chart, mean over the annotated points; 0 where there are none.

    Args:
        logits: read at the points, (N, 25, P).
        chart: 1..24, 0 = no point, (N, P).
    """
    total = F.cross_entropy(logits, chart.masked_fill(chart == 0, -1), ignore_index=-1, reduction="sum")
    return total / (chart > 0).sum().clamp(min=1)


def foreground_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy of body against background; the body has the summed probability of all charts.

    Args:
        logits: of background and 24 charts, (N, 25, H, W).
        mask: the body, (N, H, W) bool.

    Returns:
        Mean over all pixels, nats.
    """
    return F.binary_cross_entropy_with_logits(body_odds(logits), mask.float())


def body_odds(logits: Tensor) -> Tensor:
    """Log odds of body against background, (N, 25, H, W) -> (N, H, W)."""
    return logits[:, 1:].logsumexp(1) - logits[:, 0]


def uv_loss(uv: Tensor, chart: Tensor, target: Tensor) -> Tensor:
    """Smooth L1 of U and V of the annotated chart, mean over points and both coordinates; 0 without points.

    Args:
        uv: read at the points, (N, 48, P).
        chart: 1..24, 0 = no point, (N, P).
        target: U and V in [0, 1], (N, P, 2).
    """
    return uv_sum(uv, chart, target) / (2 * (chart > 0).sum().clamp(min=1))


def uv_sum(uv: Tensor, chart: Tensor, target: Tensor) -> Tensor:
    """Smooth L1 of U and V of the annotated chart, a sum over points and both coordinates; see `uv_loss`."""
    pairs = uv.view(len(uv), CHARTS, 2, uv.shape[2]).permute(0, 3, 1, 2)  # (N, P, 24, 2)
    own = (chart - 1).clamp(min=0)[..., None, None].expand(-1, -1, 1, 2)
    each = F.smooth_l1_loss(pairs.gather(2, own)[:, :, 0], target, reduction="none").sum(-1)  # (N, P)
    return (each * (chart > 0)).sum()


def to_iuv(charts: Tensor, uv: Tensor) -> Tensor:
    """Choose a chart at every pixel; read its U and V, rounded down to 8 bits as by DensePose's evaluator.

    A pixel is body where the charts together are likelier than the background, as in `foreground_loss`; then
    the likeliest chart counts (design choice; DensePose decides by a mask of its own first, too).

    Args:
        charts: logits, (N, 25, H, W).
        uv: U and V of each chart in turn, (N, 48, h, w).

    Returns:
        Chart 0..24, U and V in 0..255, both 0 on the background, (N, 3, H, W) uint8.
    """
    chart = charts[:, 1:].max(1).indices  # (N, H, W), 0..23; `argmax` takes five times longer on a CPU
    steps = read_chart(uv.float(), chart).clamp(0, 1) * 255 + 1e-3  # 37 / 255 * 255 is below 37 in float32
    body = (body_odds(charts) > 0)[:, None]
    return (torch.cat([chart[:, None] + 1, steps.floor()], 1) * body).to(torch.uint8)


def read_chart(uv: Tensor, chart: Tensor) -> Tensor:
    """U and V of one chart per pixel, the others left alone; equals `upsample` followed by the choice.

    Args:
        uv: U and V of each chart in turn, (N, 48, h, w).
        chart: 0..23, (N, H, W).

    Returns:
        (N, 2, H, W).
    """
    n, _, h, w = uv.shape
    top, bottom, down = _neighbours(h, chart.shape[1], uv.device)
    left, right, aside = _neighbours(w, chart.shape[2], uv.device)
    channel = 2 * chart[:, None] + torch.arange(2, device=uv.device).view(2, 1, 1)  # (N, 2, H, W)
    start, cells = channel * (h * w), uv.reshape(n, -1)

    def corner(row: Tensor, column: Tensor) -> Tensor:
        return cells.gather(1, (start + (row[:, None] * w + column)).view(n, -1)).view(start.shape)

    above = torch.lerp(corner(top, left), corner(top, right), aside)
    below = torch.lerp(corner(bottom, left), corner(bottom, right), aside)
    return torch.lerp(above, below, down[:, None])


def _neighbours(cells: int, pixels: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Cells on both sides of each pixel centre of an axis, and how far it is from the first to the second."""
    place = ((torch.arange(pixels, device=device) + 0.5) * (cells / pixels) - 0.5).clamp(0, cells - 1)
    first = place.long()
    return first, (first + 1).clamp(max=cells - 1), place - first
