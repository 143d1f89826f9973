"""Detection with surfaces: GPS, GPSM and mask overlap in the place of COCO's box overlap.

The formulas are those of DensePose (arXiv:1802.00434, Sec. 2) and of the evaluation that its authors released
with detectron2, down to how numbers are cut off:

- U and V are 8-bit; a detection's maps have the whole-numbered size of its box (`cells`);
- a point lies in the map's cell at the whole part (towards 0) of its offset from the box's corner;
- masks are pasted at the whole part of the box's corner;
- persons without points are ignored, and so are all detections of images without others;
- a detection that takes nobody is ignored, too, where its box overlaps that of an ignored person by 0.8.

In this module boxes are x, y, width, height in pixels; points are x, y in the plane of the image, where pixel
(row r, column c) covers [c, c + 1) x [r, r + 1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import zoom
from scipy.spatial import KDTree

from bench.api import Stats
from bench.metrics.densepose import KAPPA_M, gps, part_kappas
from bench.metrics.detection import (
    ABSENT,
    COUNTED,
    CROWD,
    IGNORED,
    MAX_DETECTIONS,
    THRESHOLDS,
    Matching,
    beyond,
    box_iou,
    match,
    rows_of,
    sized,
    taken_ignored,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]
Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]
Distance = Callable[
    [Ints, NDArray[np.number]], Floats
]  # chart, u, v of n pairs of points, (n, 3) each -> metres, (n,)

SAME_PERSON = 0.8  # overlap of boxes from which a detection is of an ignored person
DP_SIDE = 256  # height and width of the masks of DensePose-COCO


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """Detections of one image."""

    boxes: Floats  # (D, 4)
    scores: Floats  # (D,)
    iuv: Sequence[Bytes]  # chart 0..24, u and v in 1/255 of each, (3, h, w) with (h, w) = `cells(box)`


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Persons:
    """Annotated persons of one image."""

    boxes: Floats  # (G, 4)
    area: Floats  # (G,), pixels
    kinds: Ints  # (G,), of `bench.metrics.detection`
    points: Floats  # x, y, (G, P, 2)
    chart: Ints  # 1..24, 0 = no point, (G, P)
    uv: NDArray[np.number]  # in 1/255, as exact as they are known, (G, P, 2)
    masks: Flags  # (G, H, W)


def cells(box: ArrayLike) -> tuple[int, int]:
    """Height and width of the map of a detection, pixels."""
    _, _, width, height = np.asarray(box, np.float64)
    return max(int(height), 1), max(int(width), 1)


def resampled(iuv: Bytes, box: ArrayLike) -> Bytes:
    """Bring a map (3, R, R) over a box to the size of the box, by the nearest cell."""
    return regridded(iuv, cells(box))


def regridded(iuv: Bytes, size: tuple[int, int]) -> Bytes:
    """Bring a map (3, h, w) to another size, by the nearest cell."""
    rows, columns = (_nearest(have, want) for have, want in zip(iuv.shape[1:], size, strict=True))
    return iuv[:, rows[:, None], columns]


def _nearest(count: int, wanted: int) -> NDArray[np.intp]:
    return ((np.arange(wanted) + 0.5) * (count / wanted)).astype(np.intp)


def pasted(mask: Flags, box: ArrayLike, size: tuple[int, int]) -> Flags:
    """Put the mask of a box (h, w) into an image of `size` (H, W)."""
    x, y, width, height = np.asarray(box, np.float64).tolist()
    left, top = int(x), int(y)
    x0, x1 = max(left, 0), min(int(x + width), size[1], left + mask.shape[1])
    y0, y1 = max(top, 0), min(int(y + height), size[0], top + mask.shape[0])
    image = np.zeros(size, np.bool_)
    if x0 < x1 and y0 < y1:
        image[y0:y1, x0:x1] = mask[y0 - top : y1 - top, x0 - left : x1 - left]
    return image


def coco_mask(parts: NDArray[np.integer], box: ArrayLike, size: tuple[int, int]) -> Flags:
    """Put an annotated mask, stretched over its box, into an image; (H, W).

    Args:
        parts: union of the 14 part masks, 0 = background, (256, 256).
        box: of the person.
        size: (H, W) of the image.
    """
    _, _, width, height = np.asarray(box, np.float64).tolist()
    scale = (max(height, 1.0) / DP_SIDE, max(width, 1.0) / DP_SIDE)
    stretched = zoom(np.minimum(parts, 1).astype(np.float64), scale, order=1, prefilter=False)
    return pasted(stretched > 0.5, box, size)


def coco_points(x: ArrayLike, y: ArrayLike, box: ArrayLike) -> Floats:
    """Annotated points `dp_x` and `dp_y` (P,), 0..255 over the box, as positions in the image (P, 2)."""
    left, top, width, height = np.asarray(box, np.float64).tolist()
    across, down = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return np.stack([across * width / 255.0 + left, down * height / 255.0 + top], -1)


def mask_iou(found: Found, persons: Persons) -> Floats:
    """Overlap of the masks, (D, G) in 0..1; a crowd's is a share of the detection."""
    _, height, width = persons.masks.shape
    ours = np.zeros((len(found.boxes), height, width), np.bool_)
    for d, (box, iuv) in enumerate(zip(found.boxes, found.iuv, strict=True)):
        ours[d] = pasted(iuv[0] > 0, box, (height, width))
    flat = ours.reshape(len(ours), height * width).astype(np.float32)
    theirs = persons.masks.reshape(len(persons.masks), height * width).astype(np.float32)
    common = (flat @ theirs.T).astype(np.float64)  # whole numbers below 2**24
    own, other = flat.sum(1, dtype=np.float64)[:, None], theirs.sum(1, dtype=np.float64)
    whole = np.where(persons.kinds == CROWD, own, own + other - common)
    share: Floats = np.divide(common, whole, out=np.zeros(common.shape), where=whole > 0)
    return share


def read(found: Found, persons: Persons) -> Ints:
    """Chart, u and v that each detection says of each point, (D, G, P, 3); chart 0 = not on its body."""
    said = np.zeros((len(found.boxes), *persons.chart.shape, 3), np.int64)
    for d, (box, iuv) in enumerate(zip(found.boxes, found.iuv, strict=True)):
        place = (persons.points - box[:2]).astype(np.int64)  # cut off towards 0
        column, row = place[..., 0], place[..., 1]
        there = (column >= 0) & (row >= 0) & (column < int(box[2])) & (row < int(box[3]))
        there &= persons.chart > 0
        said[d][there] = iuv[:, row[there], column[there]].T
    return said


def gps_matrix(
    images: Sequence[tuple[Found, Persons]], distance: Distance, kappa: Literal["constant", "parts"]
) -> list[Floats]:
    """Geodesic point similarity of every detection with every person of its image, (D, G) each.

    Persons without points have a similarity of 0.

    Args:
        images: detections and persons.
        distance: along the surface.
        kappa: 0.255 m for all points, or SMPL's table by coarse part.
    """
    all_said = [read(found, persons) for found, persons in images]
    all_wanted = [np.concatenate([p.chart[..., None], p.uv], -1) for _, p in images]
    hits = [said[..., 0] > 0 for said in all_said]
    ours = [said[on] for said, on in zip(all_said, hits, strict=True)]
    theirs = [
        np.broadcast_to(wanted, said.shape)[on]
        for wanted, said, on in zip(all_wanted, all_said, hits, strict=True)
    ]
    values = np.zeros(0)
    if sum(map(len, ours)):
        pairs = np.concatenate(ours), np.concatenate(theirs)
        values = gps(
            distance(*pairs), part_kappas(pairs[1][:, 0].astype(np.int64)) if kappa == "parts" else KAPPA_M
        )
    alike = []
    for on, part in zip(hits, np.split(values, np.cumsum([len(x) for x in ours])[:-1]), strict=True):
        each = np.zeros(on.shape)
        each[on] = part
        alike.append(each)
    counts = [np.maximum(1, (persons.chart > 0).sum(-1)) for _, persons in images]
    return [each.sum(-1) / count for each, count in zip(alike, counts, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Similarity:
    """Detections held against persons; scores and `kinds` say what is padding."""

    gps: Floats  # (N, D, G)
    masks: Floats  # overlap, (N, D, G)
    boxes: Floats  # overlap, (N, D, G)
    scores: Floats  # -inf = padding, (N, D)
    extent: Floats  # area of the detected boxes, (N, D)
    area: Floats  # of the persons, (N, G)
    kinds: Ints  # of the persons, (N, G)
    marked: Flags  # whether they have points, (N, G)

    @property
    def gpsm(self) -> Floats:
        """Geometric mean of GPS and mask overlap."""
        return np.sqrt(self.gps * self.masks)


def compare(
    images: Sequence[tuple[Found, Persons]],
    distance: Distance,
    *,
    kappa: Literal["constant", "parts"] = "constant",
    max_detections: int = MAX_DETECTIONS,
) -> Similarity:
    """Hold the surest detections of images against their persons.

    Args:
        images: detections and persons.
        distance: along the surface, e.g. `SurfaceDistance.between` or `ChartVertices(...).between`.
        kappa: see `gps_matrix`.
        max_detections: D, the surest ones of an image that are kept.
    """
    kept = [(_surest(found, max_detections), persons) for found, persons in images]
    persons = max((len(wanted.boxes) for _, wanted in kept), default=0)
    ones, others = (len(kept), max_detections), (len(kept), persons)
    pairs = (*ones, persons)
    out = Similarity(
        gps=np.zeros(pairs), masks=np.zeros(pairs), boxes=np.zeros(pairs), scores=np.full(ones, -np.inf),
        extent=np.zeros(ones), area=np.zeros(others), kinds=np.full(others, ABSENT),
        marked=np.zeros(others, np.bool_),
    )  # fmt: skip
    for n, ((found, wanted), alike) in enumerate(zip(kept, gps_matrix(kept, distance, kappa), strict=True)):
        d, g = alike.shape
        out.gps[n, :d, :g] = alike
        out.masks[n, :d, :g] = mask_iou(found, wanted)
        out.boxes[n, :d, :g] = box_iou(found.boxes, wanted.boxes, wanted.kinds)
        out.scores[n, :d], out.extent[n, :d] = found.scores, found.boxes[:, 2:].prod(1)
        out.area[n, :g], out.kinds[n, :g] = wanted.area, wanted.kinds
        out.marked[n, :g] = (wanted.chart > 0).any(-1)
    return out


def _surest(found: Found, count: int) -> Found:
    order = np.argsort(-found.scores, kind="stable")[:count]
    return Found(
        boxes=found.boxes[order], scores=found.scores[order], iuv=[found.iuv[i] for i in order.tolist()]
    )


def thresholds_from(least: float) -> Floats:
    """Thresholds in steps of 0.05 from `least` to 0.95; detectron2's MIN_IOU_THRESHOLD, there 0.5.

    >>> thresholds_from(0.8).round(2).tolist()
    [0.8, 0.85, 0.9, 0.95]
    """
    return np.linspace(least, 0.95, round((0.95 - least) / 0.05) + 1)


def surface_rows(
    given: Similarity,
    what: Literal["gps", "gpsm", "iou"],
    *,
    limits: tuple[float, float] | None = None,
    ignoring: Literal["released", "each"] = "released",
    max_detections: int = MAX_DETECTIONS,
    thresholds: Floats = THRESHOLDS,
) -> Stats:
    """Match by GPS, GPSM or mask overlap; the rows are those of `bench.metrics.detection.match_rows`.

    Args:
        given: of `compare`.
        what: the similarity.
        limits: smallest and largest area that count, see `bench.metrics.detection.AREAS`.
        ignoring: how detections of ignored persons are found. "each" looks at every threshold by itself for
            ignored persons that nobody took. The released code looks at the matches of the highest threshold
            alone and at all persons that nobody took there, and lets what it finds count for all thresholds.
        max_detections: per image.
        thresholds: of the similarity, see `thresholds_from`.
    """
    alike = {"gps": given.gps, "gpsm": given.gpsm, "iou": given.masks}[what]
    kinds = np.where((given.kinds == COUNTED) & ~given.marked, IGNORED, given.kinds)
    kinds = sized(kinds, given.area, limits)
    matching = match(alike, given.scores, kinds, max_detections, thresholds)
    nobody = ~(kinds == COUNTED).any(1)
    ignored = taken_ignored(matching) | nobody[:, None, None]
    overlap = np.take_along_axis(
        np.take_along_axis(given.boxes, matching.order[:, :, None], 1), matching.place[:, None, :], 2
    )
    if ignoring == "released":
        _ignore_as_released(matching, overlap, ignored)
    else:
        theirs = ((matching.kinds == IGNORED) | (matching.kinds == CROWD))[:, None, :]
        free = theirs & (~matching.taken | (matching.kinds == CROWD)[:, None, :])  # (N, T, G)
        near = (overlap >= SAME_PERSON)[:, None] & free[:, :, None]  # (N, T, D, G)
        ignored |= (matching.found < 0) & near.any(-1)
    return rows_of(matching, ignored, None if limits is None else beyond(given.extent, limits))


def _ignore_as_released(matching: Matching, overlap: Floats, ignored: Flags) -> None:
    """Change `ignored` (N, T, D), and who is found at the highest threshold, as the released code does.

    A detection that takes nobody at the highest threshold looks for the person that its box overlaps most,
    among all that nobody took there. Whether that one is ignored decides for the detection at all thresholds.
    """
    taken = matching.taken[:, -1].copy()  # (N, G)
    lost = (matching.found[:, -1] < 0) & np.isfinite(matching.scores)
    for n, d in zip(*(places.tolist() for places in np.nonzero(lost)), strict=True):
        best, who = SAME_PERSON, -1
        for g, kind in enumerate(matching.kinds[n].tolist()):
            free = kind != ABSENT and (not taken[n, g] or kind == CROWD)
            if free and overlap[n, d, g] >= best:
                best, who = overlap[n, d, g], g
        if who >= 0:
            ignored[n, :, d] = theirs = matching.kinds[n, who] != COUNTED
            if theirs:
                taken[n, who] = True
                matching.found[n, -1, d] = who


class ChartVertices:
    """Distances between the nearest vertices of a mesh with charts, as the released evaluation takes them.

    For users of the SMPL charts, from the arrays of the data set's own files.
    """

    def __init__(self, chart: ArrayLike, uv: ArrayLike, surface: ArrayLike, distances: NDArray[np.floating]):
        """Index the vertices.

        Args:
            chart: 1..24 of each vertex of the charts, (C,).
            uv: its coordinates in 0..1, (C, 2).
            surface: its vertex on the surface, from 0, (C,); seams have several vertices of the charts.
            distances: metres; (V, V), or the lower triangle row by row, (V (V - 1) / 2,), maybe mapped.
        """
        self.charts = np.asarray(chart)
        self.surface = np.asarray(surface, np.int64)
        self.distances = distances
        places = np.asarray(uv, np.float64)
        self.members = {int(c): np.flatnonzero(self.charts == c) for c in np.unique(self.charts)}
        self.trees = {c: KDTree(places[rows]) for c, rows in self.members.items()}

    def vertex(self, points: ArrayLike) -> NDArray[np.int64]:
        """Nearest vertex of the surface of chart, u, v (n, 3), the last two in 0..255; -1 = no such chart."""
        given = np.asarray(points, np.float64)
        found = np.full(len(given), -1, np.int64)
        for chart, tree in self.trees.items():
            rows = np.flatnonzero(given[:, 0] == chart)
            if len(rows):
                nearest = tree.query(given[rows, 1:] / 255)[1]
                found[rows] = self.surface[self.members[chart][nearest]]
        return found

    def between(self, first: ArrayLike, second: ArrayLike) -> Floats:
        """Distance of pairs of chart points (n, 3), metres, (n,); inf for charts that the mesh lacks."""
        a, b = self.vertex(first), self.vertex(second)
        low, high = np.minimum(a, b), np.maximum(a, b)
        out = np.where(low < 0, np.inf, 0.0)
        apart = (low >= 0) & (low != high)
        if self.distances.ndim == 2:
            out[apart] = self.distances[high[apart], low[apart]]
        else:
            out[apart] = self.distances[high[apart] * (high[apart] - 1) // 2 + low[apart]]
        return out
