"""Do given weights know anything? A linear probe on embedded people, against the same network shuffled.

Weights that were loaded in a wrong order, or that nobody trained, run without a complaint. What tells them
is that frozen features name body parts no better than those of the same network with the numbers of each
tensor in random order. Such a network keeps the sizes, scales and positions of the first; all else is lost.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bench.encoders.image import ImageEncoder
from bench.encoders.vit import ViT
from bench.errors import StepError
from bench.heads.pixel import read_points
from bench.metrics.bootstrap import resample_weights

LIMIT_S = 60.0  # of the whole check
SOURCE, CLASSES = "d_dense", 25  # of the embedded people; body parts, 0 = background
PYRAMID_SIZE, TOKENS_SIZE = 128, 224  # pixels, of networks that take any size
MOST, LEAST = 360, 18  # images; a third of them are test images
TRAIN_POINTS, TEST_POINTS, POINTS = 1500, 6000, 64  # in all, and per image
BATCH = 6  # images, two of them test images
CALIBRATION = 48  # images that batch norm is measured on
RIDGES = (0.01, 0.1, 1.0, 10.0)
REPLICATES = 1000
MARGIN = 0.02  # by which the scores of two untrained networks may differ

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A share of points, with its 95 % interval over persons."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sanity:
    """What the check found. Scores: share of the points of test persons whose body part is named right."""

    given: Score
    shuffled: Score  # of the better one of the shuffled networks
    difference: Score
    statistics: str  # of batch norm in that network; "" without batch norm
    margin: float
    better: bool  # the difference is surely above the margin
    train_images: int
    test_images: int
    size: tuple[int, int]  # pixels
    image_s: float  # measured: one image through one network
    seconds: float

    def as_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**asdict(self), "size": list(self.size)}

    def lines(self) -> list[str]:
        """Return it in words."""
        how = f" (batch norm {self.statistics})" if self.statistics else ""
        return [
            f"frozen linear probe of {CLASSES} body parts on {self.train_images} embedded people, tested on "
            f"{self.test_images} others, at {self.size[0]} x {self.size[1]} pixels "
            f"({self.image_s * 1000:.0f} ms per image; {self.seconds:.0f} s in all)",
            f"  these weights     {self.given}",
            f"  shuffled weights  {self.shuffled}{how}",
            f"  difference        {self.difference}",
        ]

    @property
    def warning(self) -> str:
        """Say what is wrong; "" where the weights win."""
        if self.better:
            return ""
        return (
            f"these weights name body parts no better than shuffled ones (difference {self.difference}, "
            f"wanted surely above {self.margin:g}): they may be untrained, damaged, in another order than "
            "the layout says, or for another normalisation"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A picture with labelled points."""

    number: int
    test: bool
    image: NDArray[np.uint8]  # (H, W, 3)
    points: NDArray[np.intp]  # (POINTS, 2) row, column
    parts: NDArray[np.intp]  # (POINTS,)


def check_sanity(encoder: ImageEncoder, limit_s: float = LIMIT_S, spent_s: float = 0.0) -> Sanity:
    """Compare the frozen features of an encoder with those of the same network with shuffled weights.

    The numbers of each parameter are put in random order, but for tables of positions, which untrained
    networks have too. Running statistics of batch norm belong to weights that are no longer there: a shuffled
    network keeps them, a second one has them measured anew; the better one counts.

    Args:
        encoder: with the weights in question, which stay; it is left frozen, in evaluation mode.
        limit_s: seconds; the number of images follows from the speed of the network.
        spent_s: of these, already.

    Raises:
        StepError: the network is too slow for a check in that time.
    """
    begun = time.monotonic() - spent_s
    size = own_size(encoder)
    networks = _networks(encoder)
    people = _people(size)
    first = [next(people) for _ in range(BATCH)]  # compiles the renderer
    drawn_s = _timed(lambda: first.extend(next(people) for _ in range(BATCH))) / BATCH
    image_s, size = _speed(encoder, first, size, limit_s - (time.monotonic() - begun))
    if size != own_size(encoder):
        people = _people(size)
        first = []
    passes = len(networks) + (0.5 if len(networks) > 2 else 0.0)  # batch norm is measured on some
    room = 0.75 * (limit_s - (time.monotonic() - begun)) - 4.0  # for the probes, and other programs
    count = min(MOST, int(room / (drawn_s + passes * image_s)) // BATCH * BATCH)
    if count < LEAST:
        raise StepError(
            f"the network takes {image_s:.2g} s per image of {size[0]} x {size[1]} pixels, too long to tell "
            f"anything in {limit_s:.0f} s; give it more: --seconds, or leave it out: --no-probe"
        )
    shown = [*first[:count], *(next(people) for _ in range(count - len(first)))]
    if "measured anew" in networks:
        _measure(networks["measured anew"], shown[: min(CALIBRATION, count // 2)])
    features: dict[str, list[Tensor]] = {name: [] for name in networks}
    latest = begun + limit_s - 6.0
    seen: list[Person] = []
    for at in range(0, count, BATCH):
        if at >= LEAST and time.monotonic() > latest:  # slower than it was
            break
        seen += shown[at : at + BATCH]
        for name, network in networks.items():
            features[name].append(_features(network, shown[at : at + BATCH]))
    hits = {name: _hits(torch.cat(found), seen) for name, found in features.items()}
    tested = np.array([p.number for p in seen if p.test])
    weights = resample_weights(tested, REPLICATES, seed=0).astype(np.float64)
    best = max((name for name in hits if name != "given"), key=lambda name: float(hits[name].mean()))
    difference = _score(hits["given"] - hits[best], weights)
    return Sanity(
        given=_score(hits["given"], weights),
        shuffled=_score(hits[best], weights),
        difference=difference,
        statistics=best if len(hits) > 2 else "",
        margin=MARGIN,
        better=difference.low > MARGIN,
        train_images=len(seen) - len(tested),
        test_images=len(tested),
        size=size,
        image_s=image_s,
        seconds=time.monotonic() - begun,
    )


def own_size(encoder: ImageEncoder) -> tuple[int, int]:
    """Return height and width of the images that an encoder is shown."""
    if isinstance(encoder, ViT):
        height, width = encoder.cfg.sides
        return height, width
    if encoder.feature_info.kind == "tokens":
        patch = encoder.feature_info.strides[0]
        return (TOKENS_SIZE // patch * patch,) * 2
    return PYRAMID_SIZE, PYRAMID_SIZE


def shuffled(encoder: ImageEncoder, seed: int = 0) -> ImageEncoder:
    """Return a copy whose parameters have their numbers in random order; buffers and positions stay."""
    found = copy.deepcopy(encoder)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in found.named_parameters():
            if not name.endswith("pos_embed"):
                order = torch.randperm(parameter.numel(), generator=generator)
                parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return found


def _networks(encoder: ImageEncoder) -> dict[str, ImageEncoder]:
    found = {"given": encoder, "as it was": shuffled(encoder)}
    if any(isinstance(module, _BatchNorm) for module in encoder.modules()):
        found["measured anew"] = copy.deepcopy(found["as it was"])
    return {name: network.eval().requires_grad_(False) for name, network in found.items()}


def _people(size: tuple[int, int]) -> Iterator[Person]:
    """Draw people: two to learn from, then one of the test, and so on; none is seen twice."""
    from bench.datasets.people import Renderer
    from bench.synth.labels import part25

    renderer, side = Renderer(), max(size)
    top, left = (side - size[0]) // 2, (side - size[1]) // 2
    rows, columns = slice(top, top + size[0]), slice(left, left + size[1])
    draws = np.random.default_rng(0)
    number = 0
    while True:
        for split, clip in (("train", 2 * number), ("train", 2 * number + 1), ("val", number)):
            drawn = renderer.produce(SOURCE, split, clip, (side, side))
            parts = part25(drawn["fid"][0, rows, columns])
            points = _points(parts, draws)
            yield Person(
                number=renderer.cluster(SOURCE, split, clip),
                test=split == "val",
                image=drawn["rgb"][0, rows, columns],
                points=points,
                parts=parts[points[:, 0], points[:, 1]].astype(np.intp),
            )
        number += 1


def _points(parts: NDArray[np.uint8], draws: np.random.Generator) -> NDArray[np.intp]:
    """Draw points, as many of each class that is seen, (POINTS, 2)."""
    flat = parts.reshape(-1)
    there = np.unique(flat)
    where = [draws.choice(np.flatnonzero(flat == draws.choice(there))) for _ in range(POINTS)]
    return np.stack(np.unravel_index(where, parts.shape), 1)


def _timed(work: Callable[[], object]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def _speed(
    encoder: ImageEncoder, people: Sequence[Person], size: tuple[int, int], left_s: float
) -> tuple[float, tuple[int, int]]:
    """Return seconds per image, and the size: smaller than the network's own where it has to be."""
    stride = max(encoder.feature_info.strides)
    while True:
        pictures = _tensor(people[:2])[..., : size[0], : size[1]]
        once = _timed(lambda x=pictures: encoder(x[:1]))  # type: ignore[misc]  # also warms up
        second = _timed(lambda x=pictures: encoder(x)) / 2 if once < left_s / 8 else once  # type: ignore[misc]
        smaller = tuple(side // 2 // stride * stride for side in size)
        if LEAST * 2 * second < left_s / 2 or min(smaller) < 2 * stride:
            return second, size
        size = (smaller[0], smaller[1])


def _tensor(people: Sequence[Person]) -> Tensor:
    return torch.from_numpy(np.stack([p.image for p in people])).permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def _measure(encoder: ImageEncoder, people: Sequence[Person]) -> None:
    """Put the statistics of some images in place of the running ones of batch norm."""
    norms = [module for module in encoder.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over batches
        norm.train()
    for at in range(0, len(people), 2 * BATCH):
        encoder(_tensor(people[at : at + 2 * BATCH]))
    encoder.eval()


@torch.no_grad()
def _features(encoder: ImageEncoder, people: Sequence[Person]) -> Tensor:
    """Return the maps of all layers at the points, (n, POINTS, D)."""
    pictures = _tensor(people)
    places = torch.from_numpy(np.stack([p.points for p in people]))
    size = (pictures.shape[2], pictures.shape[3])
    maps = [read_points(level, places, size) for level in encoder(pictures).maps]
    return torch.cat(maps, 1).mT.nan_to_num(0.0, 0.0, 0.0)


def _hits(features: Tensor, people: Sequence[Person]) -> Floats:
    """Train a probe on the people of the training, and return the share of right points of each other one."""
    test = torch.tensor([p.test for p in people])
    parts = torch.from_numpy(np.stack([p.parts for p in people]))
    each = max(1, min(POINTS, TRAIN_POINTS // int((~test).sum())))
    tested = max(1, min(POINTS, TEST_POINTS // int(test.sum())))
    x, y = features[~test, :each].flatten(0, 1), parts[~test, :each].flatten()
    other, truth = features[test, :tested].flatten(0, 1), parts[test, :tested].flatten()
    mean, std = x.mean(0), x.std(0, correction=0)
    known = std > 1e-6 * std.max().clamp(min=1e-30)
    scale = math.sqrt(max(1, int(known.sum())))
    x, other = (((v - mean) / std.clamp(min=1e-30))[:, known] / scale for v in (x, other))
    kernel, cross = (x @ x.T).double(), (other @ x.T).double()
    held = torch.arange(len(x)) // each % 5 == 4  # people that choose the ridge
    kept = ~held

    def right(ridge: float) -> float:
        logits = _ridge(kernel[kept][:, kept], y[kept], kernel[held][:, kept], ridge)
        return float((logits.argmax(1) == y[held]).double().mean())

    logits = _ridge(kernel, y, cross, max(RIDGES, key=right))
    share: Floats = (logits.argmax(1) == truth).double().view(-1, tested).mean(1).numpy()
    return share


def _ridge(kernel: Tensor, classes: Tensor, cross: Tensor, ridge: float) -> Tensor:
    """Regress classes on features by their products; return what it makes of others, (M, CLASSES).

    Args:
        kernel: products of the training points, (N, N).
        classes: of them, (N,).
        cross: products of other points with them, (M, N).
        ridge: added to the diagonal, whose mean is about 1.
    """
    wanted = nn.functional.one_hot(classes, CLASSES).double()
    mean = wanted.mean(0)
    lower = torch.linalg.cholesky(kernel + ridge * torch.eye(len(kernel), dtype=kernel.dtype))
    return cross @ torch.cholesky_solve(wanted - mean, lower) + mean


def _score(each: Floats, weights: Floats) -> Score:
    """Return the mean over test images, with the percentile interval over resampled persons."""
    means = weights @ each / weights.sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Score(value=float(each.mean()), low=float(low), high=float(high))
