"""Average precision of detections by COCO's rules, for many weightings of the images at once.

The rules are those of `pycocotools.cocoeval`. What is compared (boxes, joints, surfaces) is up to the caller,
who gives a similarity of every detection with every truth of its image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.api import Stats

Floats = NDArray[np.float64]

THRESHOLDS: Floats = np.linspace(0.5, 0.95, 10)  # of the similarity
RECALLS: Floats = np.linspace(0.0, 1.0, 101)  # where the precision is read
MAX_DETECTIONS = 20  # per image, COCO's number for people

# Kinds of truths. An ignored one may be found or not; a crowd may also be found several times.
ABSENT, COUNTED, IGNORED, CROWD = range(4)


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
    images, _, truths = similarity.shape
    order = np.argsort(-scores, axis=1, kind="stable")[:, :max_detections]
    ranked = np.take_along_axis(scores, order, 1)
    # Ignored truths come last: a detection takes one only where no counted truth is left for it
    place = np.argsort(kinds != COUNTED, axis=1, kind="stable")
    kind = np.take_along_axis(kinds, place, 1)
    alike = np.take_along_axis(np.take_along_axis(similarity, order[:, :, None], 1), place[:, None, :], 2)

    shape = (images, len(THRESHOLDS))
    taken = np.zeros((*shape, truths), np.bool_)
    hit, miss = (np.zeros((*shape, order.shape[1]), np.bool_) for _ in range(2))
    every = np.arange(images)
    for d in range(order.shape[1]):
        best = np.broadcast_to(np.minimum(THRESHOLDS, 1 - 1e-10), shape)
        match = np.full(shape, -1)
        counted = np.zeros(shape, np.bool_)  # whether the best match so far is a counted truth
        for g in range(truths):
            own = kind[:, g, None]  # (N, 1)
            free = (own != ABSENT) & (~taken[:, :, g] | (own == CROWD)) & ~(counted & (own != COUNTED))
            value = alike[:, d, g, None]
            better = free & (value >= best)
            best = np.where(better, value, best)
            match = np.where(better, g, match)
            counted = np.where(better, own == COUNTED, counted)
        found = (match >= 0) & np.isfinite(ranked[:, d, None])
        image, threshold = np.nonzero(found)
        taken[image, threshold, match[image, threshold]] = True
        hit[:, :, d] = found & counted
        excused = np.zeros(images, np.bool_) if outside is None else outside[every, order[:, d]]
        miss[:, :, d] = ~found & (np.isfinite(ranked[:, d]) & ~excused)[:, None]
    return {"score": ranked, "hit": hit, "miss": miss, "truths": (kinds == COUNTED).sum(1)}


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
    hit, miss = (np.moveaxis(rows[n], 1, 0).reshape(len(THRESHOLDS), -1)[:, order] for n in ("hit", "miss"))
    # Recall grows at hits alone, and there lie the peaks of precision: nothing else needs to be looked at
    places = [np.flatnonzero(row) for row in hit]
    judged = [None if row.all() else row.astype(np.float64) for row in hit | miss]  # None = all of them

    precision, recall = (np.full((len(weights), len(THRESHOLDS)), np.nan) for _ in range(2))
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


def detection_metrics(rows: Stats, weights: Floats) -> dict[str, Floats]:
    """Compute `ap`, `ap50`, `ap75` and `ar` (mean recall over the thresholds), (B,) each, in 0..1."""
    precision, recall = precision_and_recall(rows, weights)
    return {
        "ap": precision.mean(1),
        "ap50": precision[:, 0],
        "ap75": precision[:, 5],
        "ar": recall.mean(1),
    }
