"""DensePose on whole pictures: find people, and the place on the body surface at each of their pixels.

The network is DensePose R-CNN (arXiv:1802.00434) as HCMoCo (arXiv:2203.13815) fine-tunes it: a feature
pyramid, proposals, a box head, and a convolutional head that says body or not, chart, U and V on each region.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_iou

from bench.api import Batch, DataInfo, Encoder, FeatureInfo, Metric, Outputs, Pretrained, Stats, Task
from bench.bodymodels.surface import CHARTS
from bench.errors import ConfigError
from bench.heads import read_points
from bench.heads.detection import KINDS, Detector, Levels, Regions, Sizes, SurfaceHead
from bench.metrics.densepose_detection import (
    Found,
    Persons,
    compare,
    regridded,
    resampled,
    surface_rows,
    thresholds_from,
)
from bench.metrics.detection import ABSENT, COUNTED, THRESHOLDS, detection_metrics, match_rows
from bench.metrics.surface import surrogate_surface
from bench.settings import Count, NotNegative, Share
from tasks.densepose import chart_loss, uv_sum

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]

COARSE, FINE = 2, 1 + CHARTS  # channels: background and body; background and charts
OVERLAP = 0.7  # of a region with its person from which its surface is learned
UPSCALING = 4  # from the cells of a region to those of its maps
AT_ONCE = 128  # regions whose surface is predicted together, bounds the memory
SHOWN = 0.5  # score from which a detection is drawn
SURFACES: dict[str, Literal["gps", "gpsm", "iou"]] = {"gps": "gps", "gpsm": "gpsm", "mask": "iou"}
NAMES = {
    "gps": ("ap", "ap50", "ap75", "ar"), "gpsm": ("ap", "ap50", "ap75", "ar"),
    "mask": ("ap", "ap50", "ap75"), "box": ("ap", "ap50", "ap75"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DensePoseDetectionConfig:
    width: Count = 256  # channels of the levels
    hidden: Count = 1024  # of the box head
    channels: Count = 512  # of the surface head
    convolutions: Count = 8  # of the surface head
    cells: Count = 28  # of a region for the surface head; its maps have four times as many
    proposals: Count = 1000  # per picture
    anchor_samples: Count = 256  # per picture, in the loss
    region_samples: Count = 512  # per picture, in the loss
    detections: Count = 20  # per picture
    least_score: Share = 0.05  # of a detection
    coarse_weight: NotNegative = 5.0  # of body or not
    uv_weight: NotNegative = 0.01  # of the smooth-L1 term, a sum over points
    gps_kappa: Literal["constant", "parts"] = "constant"  # 0.255 m, or the SMPL table by coarse part
    least_similarity: Annotated[float, Meta(ge=0.05, le=0.5)] = 0.5  # lowest threshold of GPS, GPSM, masks

    def check(self, *, encoder: Mapping[str, Any], where: str) -> None:
        """Refuse encoders without maps."""
        if encoder["kind"] not in KINDS:
            raise ConfigError(
                f"{where}: detection needs a {' or '.join(KINDS)} encoder, {encoder['name']} is of kind "
                f"{encoder['kind']}"
            )

    @property
    def sizes(self) -> Sizes:
        """What the detector needs to know."""
        return Sizes(
            width=self.width,
            hidden=self.hidden,
            proposals=self.proposals,
            anchor_samples=self.anchor_samples,
            region_samples=self.region_samples,
            detections=self.detections,
            least_score=self.least_score,
        )


class DensePoseDetection(Task):
    """Average precision by geodesic point similarity, by it and masks together, by masks, and by boxes."""

    Config = DensePoseDetectionConfig
    targets = ("person", "boxes", "points", "point_chart", "point_uv")
    metrics = tuple(Metric(name=f"{what}_{n}", unit="%") for what, names in NAMES.items() for n in names)

    def __init__(self, cfg: DensePoseDetectionConfig, data: DataInfo) -> None:
        super().__init__(cfg, data)
        self.side = UPSCALING * cfg.cells  # of the maps of a region
        self.thresholds = thresholds_from(cfg.least_similarity)

    def network(self, given: Pretrained) -> nn.Module:
        ((modality, encoder),) = given.encoders.items()
        return DensePoseRCNN(encoder, modality, self.cfg)

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        return dict(out)  # the network computes them where regions are drawn

    def predict(self, out: Outputs, batch: Batch) -> Stats:
        """Return `boxes` (N, D, 4) float32 left, top, right, bottom, `scores` (N, D) and `iuv` of each.

        `iuv` (N, D, 3, R, R) uint8 covers the box; padding has a score of -inf.
        """
        return {name: values.cpu().numpy() for name, values in out.items()}

    def oracle_prediction(self, truth: Stats) -> Stats:
        """Give everybody's box, and at each of its pixels what the nearest annotated point says."""
        return _perfect(truth, max(truth["person"].shape[1:]))

    def ceiling_prediction(self, truth: Stats, info: FeatureInfo) -> Stats:
        return _padded(_perfect(truth, self.side), self.cfg.detections)

    def floor_prediction(self, seen: Stats, n: int) -> Stats:
        """One detection: the median box, with the commonest chart and its mean coordinates."""
        there = seen["boxes"][..., 2] > 0
        whole = [regridded(_surface(seen, i, k), (self.side,) * 2) for i, k in np.argwhere(there).tolist()]
        maps = np.stack(whole)  # (M, 3, R, R)
        counts = np.stack([(maps[:, 0] == chart).sum(0) for chart in range(1 + CHARTS)])  # (25, R, R)
        body = 2 * counts[1:].sum(0) > len(maps)
        chart = (counts[1:].argmax(0) + 1) * body
        same = (maps[:, :1] == chart) & body  # (M, 1, R, R)
        uv = np.where(same, maps[:, 1:], 0).sum(0) / np.maximum(1, same.sum(0))
        iuv = np.concatenate([chart[None], uv]).astype(np.uint8)
        box = np.median(seen["boxes"][there], 0).astype(np.float32)
        one: Stats = {"boxes": box[None, None], "scores": np.ones((1, 1), np.float32), "iuv": iuv[None, None]}
        padded = _padded(one, self.cfg.detections)
        return {name: np.broadcast_to(values, (n, *values.shape[1:])) for name, values in padded.items()}

    def draw(self, predicted: Stats, truth: Stats, images: Stats) -> Mapping[str, Bytes]:
        perfect = self.oracle_prediction(truth)
        rgb = images["rgb"]
        return {
            "image": rgb,
            f"detections from a score of {SHOWN:g}: chart, u, v": _drawn(rgb, predicted),
            "annotated": _drawn(rgb, perfect),
        }

    def score_samples(self, predicted: Stats, truth: Stats) -> Stats:
        pairs = [(_found(predicted, n), _persons(truth, n)) for n in range(len(truth["boxes"]))]
        given = compare(
            pairs,
            surrogate_surface().between,
            kappa=self.cfg.gps_kappa,
            max_detections=self.cfg.detections,
        )
        most = self.cfg.detections
        rows = {
            what: surface_rows(given, kind, max_detections=most, thresholds=self.thresholds)
            for what, kind in SURFACES.items()
        }
        rows["box"] = match_rows(given.boxes, given.scores, given.kinds, max_detections=most)
        return {f"{what}_{name}": values for what, own in rows.items() for name, values in own.items()}

    def aggregate(self, rows: Stats, weights: Floats) -> dict[str, Floats]:
        found: dict[str, Floats] = {}
        for what, names in NAMES.items():
            own = {name: rows[f"{what}_{name}"] for name in ("score", "hit", "miss", "truths")}
            values = detection_metrics(own, weights, names, THRESHOLDS if what == "box" else self.thresholds)
            found |= {f"{what}_{name}": 100 * value for name, value in values.items()}
        return found


class DensePoseRCNN(nn.Module):
    """Encoder, detector and surface head. In training it returns losses, else detections."""

    def __init__(self, encoder: Encoder, modality: str, cfg: DensePoseDetectionConfig) -> None:
        super().__init__()
        self.encoder, self.modality, self.cfg = encoder, modality, cfg
        self.detector = Detector(encoder.feature_info, cfg.sizes)
        self.pool = self.detector.pool(cfg.cells)
        outs = COARSE + FINE + 2 * CHARTS
        self.surface = SurfaceHead(cfg.width, cfg.channels, cfg.convolutions, outs)

    def forward(self, batch: Batch) -> Outputs:
        """Return named losses, or what `DensePoseDetection.predict` says."""
        images = batch[self.modality]
        features = self.encoder(images, *self.encoder.besides(batch))
        size = (images.shape[-2], images.shape[-1])
        with torch.autocast(images.device.type, enabled=False):
            if not self.training:
                levels, proposals, _ = self.detector.propose(features, images.float(), None)
                return self._detections(levels, self.detector.detect(levels, proposals, size), size)
            numbers, truths = people_of(batch["person"], batch["boxes"].shape[1])
            levels, proposals, losses = self.detector.propose(features, images.float(), truths)
            regions, more = self.detector.learn(levels, proposals, truths, size)
            return {**losses, **more, **self._surface_losses(levels, regions, numbers, truths, batch, size)}

    def _surface_losses(
        self,
        levels: Levels,
        regions: Regions,
        numbers: Sequence[Tensor],
        truths: Sequence[Tensor],
        batch: Batch,
        size: tuple[int, int],
    ) -> dict[str, Tensor]:
        """Learn from regions that hold their person well."""
        picture, boxes = regions.picture, regions.all_boxes
        first = torch.tensor([0, *(len(own) for own in truths)], device=picture.device).cumsum(0)[:-1]
        row = first[picture] + regions.truth  # of all truths
        whole = torch.cat(list(truths))[row]
        good = box_iou(boxes, whole).diagonal() >= OVERLAP
        boxes, picture, number = boxes[good], picture[good], torch.cat(list(numbers))[row[good]]
        own = [boxes[picture == n] for n in range(len(truths))]
        maps = self.surface(self.pool(dict(levels), own, [size] * len(own)))
        return surface_losses(maps, boxes, picture, number, batch, self.cfg)

    def _detections(self, levels: Levels, regions: Regions, size: tuple[int, int]) -> Outputs:
        count, most, side = len(regions.boxes), self.cfg.detections, UPSCALING * self.cfg.cells
        device = regions.picture.device
        boxes = torch.zeros(count, most, 4, device=device)
        scores = torch.full((count, most), -torch.inf, device=device)
        iuv = torch.zeros(count, most, 3, side, side, dtype=torch.uint8, device=device)
        for n, (own, sure) in enumerate(zip(regions.boxes, regions.scores, strict=True)):
            boxes[n, : len(own)], scores[n, : len(own)] = own, sure
        found = torch.isfinite(scores)
        picture, place = found.nonzero(as_tuple=True)
        for start in range(0, len(picture), AT_ONCE):
            rows = torch.arange(start, min(start + AT_ONCE, len(picture)), device=device)
            some = [boxes[n, place[rows[picture[rows] == n]]] for n in range(count)]
            maps = self.surface(self.pool(dict(levels), some, [size] * count))
            iuv[picture[rows], place[rows]] = to_iuv(maps)
        return {"boxes": boxes, "scores": scores, "iuv": iuv}


def people_of(person: Tensor, most: int) -> tuple[list[Tensor], list[Tensor]]:
    """Find who is in the pictures, and the boxes around their pixels.

    The boxes are those of what is visible after augmentation, which boxes that move by themselves are not.

    Args:
        person: 1..most at the pixels of each person, 0 = nobody, (N, H, W).
        most: people in a picture.

    Returns:
        Of each picture the numbers of its people, (G_n,), and left, top, right, bottom, (G_n, 4) float32.
    """
    own = person[:, None] == torch.arange(1, most + 1, device=person.device)[:, None, None]  # (N, B, H, W)
    edges = []
    for lines in (own.any(2), own.any(3)):  # columns, rows
        there = lines.float()
        edges.append((there.argmax(-1), lines.shape[-1] - there.flip(-1).argmax(-1)))
    (left, right), (top, bottom) = edges
    boxes = torch.stack([left, top, right, bottom], -1).float()
    seen = own.flatten(2).any(2)
    return [flags.nonzero()[:, 0] + 1 for flags in seen], [
        box[flags] for box, flags in zip(boxes, seen, strict=True)
    ]


def surface_losses(
    maps: Tensor, boxes: Tensor, picture: Tensor, number: Tensor, batch: Batch, cfg: DensePoseDetectionConfig
) -> dict[str, Tensor]:
    """Losses of the surface head on M regions: `coarse`, `chart` and `uv`, weighted.

    Args:
        maps: (M, 2 + 25 + 48, R, R): body or not, charts, U and V of each chart in turn.
        boxes: left, top, right, bottom of the regions, (M, 4).
        picture: of each region, (M,).
        number: of the person that each region holds, (M,) 1..B.
        batch: `person` (N, H, W), `points` (N, B P, 2), `point_chart` (N, B P), `point_uv` (N, B P, 2).
        cfg: the weights.
    """
    side = maps.shape[-1]
    people = batch["boxes"].shape[1]
    low, extent = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]  # x, y
    step = (torch.arange(side, device=maps.device) + 0.5) / side
    height, width = batch["person"].shape[1:]
    column = (low[:, :1] + step * extent[:, :1]).long().clamp(0, width - 1)  # (M, R)
    row = (low[:, 1:] + step * extent[:, 1:]).long().clamp(0, height - 1)
    body = batch["person"][picture[:, None, None], row[:, :, None], column[:, None]] == number[:, None, None]
    own = {
        name: batch[name].view(len(batch[name]), people, -1, *batch[name].shape[2:])[picture, number - 1]
        for name in ("points", "point_chart", "point_uv")
    }
    inside = (own["points"].flip(-1) + 0.5 - low[:, None]) / extent[:, None]  # x, y in 0..1 of the region
    chart = own["point_chart"] * ((inside >= 0) & (inside < 1)).all(-1)
    read = read_points(maps, inside.flip(-1) * side - 0.5, (side, side))  # (M, 75, P)
    coarse = F.cross_entropy(maps[:, :COARSE], body.long(), reduction="none")
    return {
        "coarse": cfg.coarse_weight * coarse.sum() / max(1, coarse.numel()),
        "chart": chart_loss(read[:, COARSE : COARSE + FINE], chart),
        "uv": cfg.uv_weight * uv_sum(read[:, COARSE + FINE :], chart, own["point_uv"]),
    }


def to_iuv(maps: Tensor) -> Tensor:
    """Chart 0..24, U and V in 0..255 of maps (M, 75, R, R): (M, 3, R, R) uint8, 0 on the background."""
    coarse, charts, uv = torch.split(maps, [COARSE, FINE, 2 * CHARTS], 1)
    label = charts.argmax(1) * (coarse[:, 1] > coarse[:, 0])  # (M, R, R)
    pairs = uv.reshape(len(uv), CHARTS, 2, *uv.shape[2:])
    own = (label - 1).clamp(min=0)[:, None, None].expand(-1, 1, 2, -1, -1)
    steps = (255 * pairs.gather(1, own)[:, 0] + 1e-3).clamp(0, 255).floor()  # see `tasks.densepose.to_iuv`
    return (torch.cat([label[:, None], steps], 1) * (label > 0)[:, None]).to(torch.uint8)


def _found(predicted: Stats, n: int) -> Found:
    """Detections of a picture; boxes become x, y, width, height."""
    there = np.isfinite(predicted["scores"][n])
    boxes = predicted["boxes"][n, there].astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    maps = [resampled(iuv, box) for iuv, box in zip(predicted["iuv"][n, there], boxes, strict=True)]
    return Found(boxes=boxes, scores=predicted["scores"][n, there].astype(np.float64), iuv=maps)


def _persons(truth: Stats, n: int) -> Persons:
    boxes = truth["boxes"][n].astype(np.float64)
    count = len(boxes)
    boxes[:, 2:] -= boxes[:, :2]
    masks = truth["person"][n] == np.arange(1, count + 1)[:, None, None]
    own = {
        name: truth[name][n].reshape(count, -1, *truth[name].shape[2:]) for name in ("points", "point_chart")
    }
    return Persons(
        boxes=boxes,
        area=masks.sum((1, 2)).astype(np.float64),
        kinds=np.where(boxes[:, 2] > 0, COUNTED, ABSENT),
        points=own["points"][..., ::-1] + 0.5,  # the middle of the pixel
        chart=own["point_chart"].astype(np.int64),
        uv=truth["point_uv"][n].reshape(count, -1, 2).astype(np.int64),
        masks=masks,
    )


def _surface(truth: Stats, n: int, k: int) -> Bytes:
    """Chart, U and V at the pixels of a person's box (3, h, w): what the nearest annotated point says."""
    x0, y0, x1, y1 = truth["boxes"][n, k].astype(int).tolist()
    size = len(truth["points"][n]) // truth["boxes"].shape[1]
    rows = np.arange(k * size, (k + 1) * size)
    rows = rows[truth["point_chart"][n, rows] > 0]
    out = np.zeros((3, y1 - y0, x1 - x0), np.uint8)
    on = truth["person"][n, y0:y1, x0:x1] == k + 1
    if len(rows):
        nearest = rows[KDTree(truth["points"][n, rows]).query(np.argwhere(on) + np.array([y0, x0]))[1]]
        out[0, on] = truth["point_chart"][n, nearest]
        out[1:, on] = truth["point_uv"][n, nearest].T
    return out


def _perfect(truth: Stats, side: int) -> Stats:
    """Everybody as annotated, with maps of `side` x `side` cells; scores in a picture differ."""
    count, people = truth["boxes"].shape[:2]
    there = truth["boxes"][..., 2] > 0
    iuv = np.zeros((count, people, 3, side, side), np.uint8)
    for n, k in np.argwhere(there).tolist():
        iuv[n, k] = regridded(_surface(truth, n, k), (side, side))
    return {
        "boxes": truth["boxes"].astype(np.float32),
        "scores": np.where(there, 1 - np.arange(people) / 100, -np.inf).astype(np.float32),
        "iuv": iuv,
    }


def _padded(predicted: Stats, count: int) -> Stats:
    """As many detections per picture as `predict` gives: the surest, or none beyond those there are."""
    lacking = max(0, count - predicted["scores"].shape[1])
    out = {}
    for name, values in predicted.items():
        empty = -np.inf if name == "scores" else 0
        around = [(0, 0), (0, lacking), *[(0, 0)] * (values.ndim - 2)]
        out[name] = np.pad(values[:, :count], around, constant_values=empty)
    return out


def _drawn(rgb: Bytes, predicted: Stats) -> Bytes:
    """Charts and coordinates over the darkened image, with boxes; (n, H, W, 3)."""
    out = (0.5 * rgb).astype(np.uint8)
    for n, image in enumerate(out):
        found = _found(predicted, n)
        for d in np.argsort(found.scores).tolist():  # the surest last
            if found.scores[d] < SHOWN:
                continue
            x, y, w, h = found.boxes[d].astype(int).tolist()
            x0, y0, x1, y1 = max(0, x), max(0, y), min(image.shape[1], x + w), min(image.shape[0], y + h)
            iuv = np.moveaxis(found.iuv[d], 0, -1)[y0 - y : y1 - y, x0 - x : x1 - x]
            part = image[y0:y1, x0:x1]
            body = iuv[: len(part), : part.shape[1]]
            part[body[..., 0] > 0] = (body * [10, 1, 1]).astype(np.uint8)[body[..., 0] > 0]
            if part.size:
                part[[0, -1]] = part[:, [0, -1]] = (255, 255, 0)
    return out
