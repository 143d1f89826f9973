"""Checks of a task: labels, loss, predictions and scores, with networks that have not been trained."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.api import Batch, Draws, Score, Stats, Task, seeded
from bench.contract.finding import Broken, Check, NotApplicable
from bench.contract.setting import BATCH
from bench.data.augment import NEAREST, augment
from bench.data.batches import SOURCES, to_batch
from bench.data.people import People
from bench.execute.finetuning import FinetuneTrainee, build_trainee, predict_all
from bench.metrics.bootstrap import replicates, resample_weights
from bench.plan import Step
from bench.store import Store

CROP = {"scale": [0.7, 1.4], "rotation": 40.0, "rotation_p": 1.0, "shift": 0.15, "crop_scale": [0.6, 1.0]}


@dataclass(kw_only=True)
class Cells:
    """One task with an encoder of each kind."""

    steps: Sequence[Step]  # score steps
    store: Store
    config_dirs: tuple[str, ...]

    def checks(self) -> Iterator[Check]:
        """Yield the checks by name."""
        yield "finite loss and gradients", self._loss
        yield "batch of one", self._batch_of_one
        yield "predictions read no labels", self._blind
        yield "perfect and worse predictions", self._perfect
        yield "scores add up", self._additive
        yield "bootstrap from saved scores", self._bootstrap
        yield "flip consistency", self._flip
        yield "crop round trip", self._crop
        yield "determinism", self._deterministic

    def _data(self, split: str) -> People:
        cell = self.steps[0].inputs[0]
        specs = {"test": cell.spec["data"], "train": cell.inputs[0].spec["data"]["train"]}
        return People(specs[split], self.store.data)

    def _networks(self) -> Iterator[FinetuneTrainee]:
        """Yield a network per kind of encoder, on a spec of fine-tuning."""
        for step in self.steps:
            spec = step.inputs[0].inputs[0].spec
            yield build_trainee(spec, self._data("train"), self.config_dirs, None)

    def _task(self) -> Task:
        return next(self._networks()).task

    def _batch(self, network: FinetuneTrainee, rows: int = BATCH) -> Batch:
        task, modality = network.task, network.modality
        raw = self._data("train").batch(range(rows), (SOURCES[modality], *task.fields))
        return to_batch(raw, (modality,), task.fields, "cpu")

    def _backward(self, network: FinetuneTrainee, batch: Batch) -> None:
        network.train()
        terms = network.task.loss(network.outputs(batch), batch)
        if not terms:
            raise Broken("loss() returns no term")
        for name, term in terms.items():
            if term.ndim or not torch.isfinite(term):
                raise Broken(f"loss term {name} is not a finite scalar")
        torch.stack([term.float() for term in terms.values()]).sum().backward()  # type: ignore[no-untyped-call]

    def _loss(self) -> None:
        for network in self._networks():
            self._backward(network, self._batch(network))
            cold = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
            reached = [n for n in cold if n.startswith("head.")]
            if reached:
                raise Broken(f"no gradient reaches {reached[0]} ({len(reached)} such parameters of the head)")
            if all(p.grad is None for p in network.encoder.parameters()):
                raise Broken("no gradient reaches the encoder")

    def _batch_of_one(self) -> None:
        for network in self._networks():
            self._backward(network, self._batch(network, 1))

    def _blind(self) -> None:
        for network in self._networks():
            network.eval()
            batch = self._batch(network)
            bare = {name: values for name, values in batch.items() if name not in network.task.fields}
            with torch.no_grad():
                seen, blind = (network.task.predict(network.outputs(b), b) for b in (batch, bare))
            for name, values in seen.items():
                if len(values) != BATCH:
                    raise Broken(f'predict()["{name}"] has {len(values)} rows for {BATCH} samples')
                if not np.array_equal(values, blind[name]):
                    raise Broken(f'predict()["{name}"] depends on labels')

    def _scores(self, predicted: Stats, truth: Stats) -> list[Score]:
        task = self._task()
        return task.aggregate(_summed(task.score_samples(predicted, truth)))

    def _truth(self) -> Stats:
        data = self._data("test")
        return data.batch(np.arange(len(data.ids)), self._task().fields)

    def _perfect(self) -> None:
        """Let the truth score best in every metric, and neither mixed up nor untrained predictions do so."""
        truth = self._truth()
        perfect = self._task().perfect(truth)
        best = self._scores(perfect, truth)
        self._check_primary(best[0])
        others = {"those of other samples": {n: np.roll(v, 1, axis=0) for n, v in perfect.items()}}
        data = self._data("test")
        for network in self._networks():
            kind = network.encoder.feature_info.kind
            rows = np.arange(len(data.ids))
            others[f"an untrained {kind} network's"] = predict_all(network, data, rows, torch.device("cpu"))
        for name, predicted in others.items():
            for top, found in zip(best, self._scores(predicted, truth), strict=True):
                sign = 1 if top.higher_is_better else -1
                if not np.isfinite(found.value):
                    raise Broken(f"metric {found.name} of {name} predictions is {found.value}")
                if sign * (top.value - found.value) < 0 or (found.name == best[0].name and top == found):
                    raise Broken(
                        f"metric {found.name}: perfect predictions score {top.value:.6g}, {name} "
                        f"{found.value:.6g}"
                    )

    def _check_primary(self, found: Score) -> None:
        declared = dict(self.steps[0].spec["primary"])
        actual = {"metric": found.name, "unit": found.unit, "higher_is_better": found.higher_is_better}
        if declared != actual:
            raise Broken(f"the YAML declares primary {declared}, the code's first metric is {actual}")

    def _predicted(self) -> tuple[Stats, Stats]:
        """Return predictions of some quality and the truth: half of them right, half of other samples."""
        truth = self._truth()
        perfect = self._task().perfect(truth)
        half = len(next(iter(perfect.values()))) // 2
        mixed = {n: np.concatenate([v[:half], np.roll(v, 1, axis=0)[half:]]) for n, v in perfect.items()}
        return mixed, truth

    def _additive(self) -> None:
        """Let parts and orders of the samples not matter."""
        predicted, truth = self._predicted()
        task, whole = self._task(), self._scores(predicted, truth)
        rows = np.random.default_rng(0).permutation(len(next(iter(predicted.values()))))
        parts = [rows[: len(rows) // 3], rows[len(rows) // 3 :]]
        stats = [
            task.score_samples({n: v[p] for n, v in predicted.items()}, {n: v[p] for n, v in truth.items()})
            for p in parts
        ]
        for name in stats[0]:
            if len(stats[0][name]) != len(parts[0]):
                raise Broken(f'score_samples()["{name}"] has not one row per sample')
        sums = [_summed(part) for part in stats]
        again = task.aggregate({name: sums[0][name] + sums[1][name] for name in sums[0]})
        for a, b in zip(whole, again, strict=True):
            if not np.isclose(a.value, b.value, rtol=1e-6):
                raise Broken(f"metric {a.name} is {a.value:.8g} in one go and {b.value:.8g} in parts")

    def _bootstrap(self) -> None:
        """Let replicates from stored scores equal those from the scores at hand, and enclose the metric."""
        predicted, truth = self._predicted()
        task, clusters = self._task(), self._data("test").clusters
        stats = task.score_samples(predicted, truth)
        file = io.BytesIO()
        np.savez_compressed(file, allow_pickle=False, **stats)
        file.seek(0)
        with np.load(file, allow_pickle=False) as stored:
            saved = {name: stored[name] for name in stored.files}
        weights = resample_weights(clusters, 200, seed=0)
        direct, later = (replicates(task.aggregate, s, weights) for s in (stats, saved))
        value = task.aggregate(_summed(stats))[0].value
        if not np.array_equal(direct, later) or not np.isfinite(direct).all():
            raise Broken("bootstrap replicates from stored scores are not those from the scores at hand")
        if not direct.min() <= value <= direct.max():
            raise Broken(f"the primary metric {value:.6g} lies outside all of its bootstrap replicates")

    def _flip(self) -> None:
        """Let mirroring twice give the labels back, and once move them with the picture."""
        batch = self._labels()
        once, source = _moved(batch, {"flip": True})
        twice, _ = _moved(once, {"flip": True})
        for name, values in batch.items():
            if not _alike(twice[name], values):
                raise Broken(f'label "{name}" is another one after mirroring twice')
        shown = {n: (values != 0).to(values.dtype) for n, values in batch.items() if n in NEAREST}
        _check_places(batch | shown, once | {n: (once[n] != 0).to(once[n].dtype) for n in shown}, source)

    def _crop(self) -> None:
        """Crop, turn and zoom; then look up in the old picture what the labels of the new one say."""
        batch = self._labels()
        moved, source = _moved(batch, CROP)
        if not (source > 0).any() or (source > 0).all():
            raise Broken("the crop of this check shows nothing of its picture")  # cannot be, by its numbers
        _check_places(batch, moved, source)

    def _labels(self) -> Batch:
        """Return the labels of a batch, with a picture beside them that tells how it was moved."""
        network = next(self._networks())
        fields = network.task.fields
        raw = self._data("train").batch(range(BATCH), ("depth", *fields))
        return to_batch(raw, ("depth",), fields, "cpu")

    def _deterministic(self) -> None:
        for first, second in zip(self._networks(), self._networks(), strict=True):
            for (name, a), b in zip(first.named_parameters(), second.parameters(), strict=True):
                if not torch.equal(a, b):
                    raise Broken(f"{name} is initialised otherwise the second time")
            for network in (first, second):
                self._backward(network, self._batch(network))
            for (name, a), b in zip(first.named_parameters(), second.parameters(), strict=True):
                if a.grad is not None and not (b.grad is not None and torch.equal(a.grad, b.grad)):
                    raise Broken(f"the gradient of {name} is another one the second time")


def _moved(batch: Batch, how: Mapping[str, Any]) -> tuple[Batch, Tensor]:
    """Move a batch; return it with the number of the old pixel that each new one shows.

    Numbers are 1-based, (N, size, size); 0 = from outside.
    """
    size = int(batch["depth"].shape[-1])
    ramp = torch.arange(size * size, dtype=torch.float32).view(1, 1, size, size) + 1
    moved = augment({**batch, "depth": ramp.expand(BATCH, -1, -1, -1)}, how, _draws())
    return {**moved, "depth": batch["depth"]}, moved["depth"][:, 0].long()


def _check_places(batch: Batch, moved: Batch, source: Tensor) -> None:
    """Hold moved labels against the old ones at the pixels that the new picture shows."""
    inside = (source > 0).flatten(1)
    for name in (n for n in NEAREST if n in batch and n not in ("depth", "uv")):
        old = batch[name].flatten(1).gather(1, (source - 1).clamp(min=0).flatten(1))
        if not torch.equal(moved[name].flatten(1)[inside], old[inside]):
            raise Broken(f'label "{name}" does not move with the picture')
    if "points" in batch:
        _check_points(batch, moved, source)


def _check_points(batch: Batch, moved: Batch, source: Tensor) -> None:
    """Hold the places of the moved points against the old pixels that the new picture shows there."""
    size = source.shape[-1]
    kept = moved["point_chart"] > 0
    if not kept.any():
        raise NotApplicable("no annotated point stays inside the crop")
    place = moved["points"].round().long().clamp(0, size - 1)
    shown = source.flatten(1).gather(1, place[..., 0] * size + place[..., 1]) - 1  # (N, P) old pixel
    old = torch.stack([shown // size, shown % size], -1).float()
    off = (old - batch["points"]).abs().amax(-1)[kept & (shown >= 0)]
    if float(off.max()) > 1.5:  # pixels; zooming and rounding to pixels move by one at most
        raise Broken(f"points move {float(off.max()):.1f} pixels away from the picture")


def _summed(stats: Stats) -> Stats:
    return {name: values.sum(0) for name, values in stats.items()}


def _draws() -> Draws:
    return Draws(generator=seeded("contract", "augment"))


def _alike(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, atol=1e-4) if a.is_floating_point() else torch.equal(a, b)
