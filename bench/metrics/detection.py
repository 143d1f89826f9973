"""Average precision of detections by COCO's rules, for many weightings of the images at once.

The rules are those of `pycocotools.cocoeval`. What is compared (boxes, joints, surfaces) is up to the caller,
who gives a similarity of every detection with every truth of its image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.api import Stats

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]

THRESHOLDS: Floats = np.linspace(0.5, 0.95, 10)  # of the similarity
RECALLS: Floats = np.linspace(0.0, 1.0, 101)  # where the precision is read
MAX_DETECTIONS = 20  # per image, COCO's number for people
MAX_BOXES = 100  # per image, COCO's number for boxes
# COCO's names of sizes: smallest and largest area in pixels
AREAS = {"all": None, "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}

# Kinds of truths. An ignored one may be found or not; a crowd may also be found several times.
ABSENT, COUNTED, IGNORED, CROWD = range(4)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Matching:
    """Which detection of an image takes which truth, at T thresholds. Detections stand in falling order."""

    order: Ints  # (N, D'), places of the detections as given, the surest first
    scores: Floats  # (N, D')
    place: Ints  # (N, G), places of the truths as given, counted ones first
    kinds: Ints  # (N, G), in that order
    found: Ints  # (N, T, D'), truth in that order, -1 = none
    taken: NDArray[np.bool_]  # (N, T, G)


def match(
    similarity: Floats,
    scores: Floats,
    kinds: NDArray[np.integer],
    max_detections: int = MAX_DETECTIONS,
    thresholds: Floats = THRESHOLDS,
) -> Matching:
    """Let detections take truths, the surest first, at every threshold; see `match_rows`."""
    images, _, truths = similarity.shape
    order = np.argsort(-scores, axis=1, kind="stable")[:, :max_detections]
    ranked = np.take_along_axis(scores, order, 1)
    # Ignored truths come last: a detection takes one only where no counted truth is left for it
    place = np.argsort(kinds != COUNTED, axis=1, kind="stable")
    kind = np.take_along_axis(kinds, place, 1)
    alike = np.take_along_axis(np.take_along_axis(similarity, order[:, :, None], 1), place[:, None, :], 2)

    shape = (images, len(thresholds))
    taken = np.zeros((*shape, truths), np.bool_)
    found = np.full((*shape, order.shape[1]), -1)
    for d in range(order.shape[1]):
        best = np.broadcast_to(np.minimum(thresholds, 1 - 1e-10), shape)
        counted = np.zeros(shape, np.bool_)  # whether the best match so far is a counted truth
        for g in range(truths):
            own = kind[:, g, None]  # (N, 1)
            free = (own != ABSENT) & (~taken[:, :, g] | (own == CROWD)) & ~(counted & (own != COUNTED))
            value = alike[:, d, g, None]
            better = free & (value >= best) & np.isfinite(ranked[:, d, None])
            best = np.where(better, value, best)
            found[:, :, d] = np.where(better, g, found[:, :, d])
            counted = np.where(better, own == COUNTED, counted)
        image, threshold = np.nonzero(found[:, :, d] >= 0)
        taken[image, threshold, found[image, threshold, d]] = True
    return Matching(order=order, scores=ranked, place=place, kinds=kind, found=found, taken=taken)


def match_rows(
    similarity: Floats,
    scores: Floats,
    kinds: NDArray[np.integer],
    *,
    outside: NDArray[np.bool_] | None = None,
    max_detections: int = MAX_DETECTIONS,
) -> Stats:
    """Match detections with truths, the surest first, at every threshold.

    Args:
        similarity: (N, D, G), of detections and truths of N images.
        scores: (N, D), -inf = no detection.
        kinds: (N, G), `ABSENT`, `COUNTED`, `IGNORED` or `CROWD`.
        outside: detections that are no mistake where nothing matches, e.g. of another size, (N, D).
        max_detections: the surest ones of an image that count.

    Returns:
        Rows for `average_precision`, D' = min(D, max_detections), T thresholds: `score` (N, D') in falling
        order, `hit` and `miss` (N, T, D') bool (neither = ignored), `truths` (N,) int64, counted ones.
    """
    matching = match(similarity, scores, kinds, max_detections)
    return rows_of(matching, taken_ignored(matching), outside)


def taken_ignored(matching: Matching) -> NDArray[np.bool_]:
    """Which detections take a truth that is not counted, (N, T, D')."""
    ignored: NDArray[np.bool_] = (matching.found >= 0) & (_taken_kinds(matching) != COUNTED)
    return ignored


def rows_of(
    matching: Matching, ignored: NDArray[np.bool_], outside: NDArray[np.bool_] | None = None
) -> Stats:
    """Make rows for `average_precision`.

    Args:
        matching: who takes whom.
        ignored: detections that are neither right nor wrong, (N, T, D').
        outside: detections that are no mistake where nothing matches, (N, D), in their order as given.
    """
    there = np.isfinite(matching.scores)[:, None]
    found = matching.found >= 0
    if outside is not None:
        ignored = ignored | (~found & np.take_along_axis(outside, matching.order, 1)[:, None])
    return {
        "score": matching.scores,
        "hit": found & ~ignored & there,
        "miss": ~found & ~ignored & there,
        "truths": (matching.kinds == COUNTED).sum(1),
    }


def _taken_kinds(matching: Matching) -> Ints:
    """Kind of the truth that each detection takes, (N, T, D'); meaningless where it takes none."""
    images, thresholds, detections = matching.found.shape
    if not matching.kinds.shape[1]:
        return np.zeros(matching.found.shape, np.int64)
    flat = np.maximum(matching.found, 0).reshape(images, -1)
    return np.take_along_axis(matching.kinds, flat, 1).reshape(images, thresholds, detections)


def box_iou(found: ArrayLike, wanted: ArrayLike, kinds: ArrayLike) -> Floats:
    """Overlap of every detected box with every truth of its image; a crowd's is a share of the detection.

    Args:
        found: x, y, width, height, (..., D, 4).
        wanted: (..., G, 4).
        kinds: of the truths, (..., G).

    Returns:
        (..., D, G) in 0..1.

    >>> box_iou([[0, 0, 2, 2]], [[1, 0, 2, 2], [1, 0, 9, 9]], [COUNTED, CROWD]).round(3).tolist()
    [[0.333, 0.5]]
    """
    ours = np.asarray(found, np.float64)[..., :, None, :]
    theirs = np.asarray(wanted, np.float64)[..., None, :, :]
    low = np.maximum(ours[..., :2], theirs[..., :2])
    high = np.minimum(ours[..., :2] + ours[..., 2:], theirs[..., :2] + theirs[..., 2:])
    common = np.clip(high - low, 0, None).prod(-1)
    own, other = ours[..., 2:].prod(-1), theirs[..., 2:].prod(-1)
    crowd = np.asarray(kinds)[..., None, :] == CROWD
    whole = np.where(crowd, own, own + other - common)
    share: Floats = np.divide(common, whole, out=np.zeros(np.shape(common)), where=whole > 0)
    return share


def sized(kinds: ArrayLike, area: ArrayLike, limits: tuple[float, float] | None) -> Ints:
    """Ignore counted truths whose area lies outside of the limits, pixels; None = no limits."""
    kind, size = np.asarray(kinds), np.asarray(area, np.float64)
    if limits is None:
        return kind
    return np.where((kind == COUNTED) & ((size < limits[0]) | (size > limits[1])), IGNORED, kind)


def box_rows(
    boxes: ArrayLike,
    scores: ArrayLike,
    truth: ArrayLike,
    area: ArrayLike,
    kinds: ArrayLike,
    *,
    limits: tuple[float, float] | None = None,
    max_detections: int = MAX_BOXES,
) -> Stats:
    """Match boxes by their overlap; rows as those of `match_rows`.

    Args:
        boxes: x, y, width, height, (N, D, 4), padded.
        scores: (N, D), -inf = padding.
        truth: (N, G, 4), padded.
        area: of the truths (COCO: of their masks), (N, G).
        kinds: (N, G).
        limits: smallest and largest area that count, see `AREAS`.
        max_detections: per image.
    """
    found = np.asarray(boxes, np.float64)
    return match_rows(
        box_iou(found, truth, kinds),
        np.asarray(scores, np.float64),
        sized(kinds, area, limits),
        outside=None if limits is None else beyond(found[..., 2] * found[..., 3], limits),
        max_detections=max_detections,
    )


def beyond(area: Floats, limits: tuple[float, float]) -> NDArray[np.bool_]:
    """Say which areas lie outside of the limits."""
    return (area < limits[0]) | (area > limits[1])


def precision_and_recall(rows: Stats, weights: Floats) -> tuple[Floats, Floats]:
    """Area under the interpolated precision, and the recall of all detections, at every threshold.

    Whole weights give what really repeated images would give, if copies follow each other. Detections of
    equal score count in the order of the images, as in `pycocotools`.

    Args:
        rows: of `match_rows`, (N, ...) each.
        weights: how often each image counts, (B, N).

    Returns:
        Precision (B, T), the mean at 101 recalls, and recall (B, T), in 0..1; NaN where a weighting holds no
        counted truth.
    """
    score = rows["score"].reshape(-1)
    order = np.argsort(-score, kind="stable")
    order = order[np.isfinite(score[order])]
    image = order // rows["score"].shape[1]
    count = rows["hit"].shape[1]
    hit, miss = (np.moveaxis(rows[n], 1, 0).reshape(count, -1)[:, order] for n in ("hit", "miss"))
    # Recall grows at hits alone, and there lie the peaks of precision: nothing else needs to be looked at
    places = [np.flatnonzero(row) for row in hit]
    judged = [None if row.all() else row.astype(np.float64) for row in hit | miss]  # None = all of them

    precision, recall = (np.full((len(weights), count), np.nan) for _ in range(2))
    for b, row in enumerate(np.asarray(weights, np.float64)):
        truths = row @ rows["truths"]
        if truths <= 0:
            continue
        weight = row[image]
        all_so_far = np.cumsum(weight)
        for t, (place, counts) in enumerate(zip(places, judged, strict=True)):
            if not place.size:
                precision[b, t] = recall[b, t] = 0.0
                continue
            found = np.cumsum(weight[place])
            among = all_so_far if counts is None else np.cumsum(weight * counts)
            share = found / (among[place] + np.spacing(1))
            falling = np.maximum.accumulate(share[::-1])[::-1]
            reached = found / truths
            first = np.searchsorted(reached, RECALLS)
            precision[b, t] = falling[first[first < place.size]].sum() / len(RECALLS)
            recall[b, t] = reached[-1]
    return precision, recall


def average_precision(rows: Stats, weights: Floats) -> Floats:
    """AP: mean precision over all thresholds, (B,) in 0..1; see `precision_and_recall`."""
    precision: Floats = precision_and_recall(rows, weights)[0].mean(1)
    return precision


def detection_metrics(
    rows: Stats,
    weights: Floats,
    names: Sequence[str] = ("ap", "ap50", "ap75", "ar"),
    thresholds: Floats = THRESHOLDS,
) -> dict[str, Floats]:
    """Compute some of `ap`, `ap50`, `ap75`, `ar`, `ar50`, `ar75`, (B,) each, in 0..1.

    AP is the precision, AR the recall; without a number they are means over the thresholds of the rows.
    """
    both = dict(zip(("ap", "ar"), precision_and_recall(rows, weights), strict=True))
    found = {}
    for name in names:
        at = np.isclose(thresholds, int(name[2:]) / 100) if name[2:] else np.ones(len(thresholds), np.bool_)
        found[name] = both[name[:2]][:, at].mean(1)
    return found
