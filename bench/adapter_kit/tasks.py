"""Checks of a task: labels, loss, predictions and scores, with networks that have not been trained."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.adapter_kit.finding import Check, ContractViolation, NotApplicable
from bench.adapter_kit.interruption import trained
from bench.adapter_kit.setting import BATCH
from bench.adapter_kit.terms import total
from bench.api import (
    Batch,
    Context,
    DataInfo,
    Dataset,
    Draws,
    Encoder,
    Field,
    Pretrained,
    Stats,
    Task,
    seeded,
)  # fmt: skip
from bench.data.augment import augment
from bench.data.batches import to_batch
from bench.data.feed import paired, partners
from bench.data.opening import open_dataset
from bench.dataset import MODALITIES
from bench.encoders import build_encoder
from bench.execute.bounds import ceiling, defines, floor
from bench.execute.device import make_fabric
from bench.execute.features import Frozen, layer_info, state_digest
from bench.execute.finetuning import (
    FinetuneModule,
    build_task,
    build_trainee,
    choose,
    evaluate_task,
    joined,
    labelled_rows,
    make_run,
    predict_all,
    read_batch,
)  # fmt: skip
from bench.execute.probing import FEATURES, Heads, build_head
from bench.execute.returned import plain_metrics
from bench.grid.plan import Step
from bench.metrics.bootstrap import replicates, resample_weights
from bench.records.store import Store
from bench.train.run import Run
from bench.train.seeding import seeded_initialisation, seeded_layers

CROP = {"zoom": [0.7, 1.4], "rotation": 40.0, "rotation_p": 1.0, "shift": 0.15, "crop_area": [0.6, 1.0]}
STEPS = 3  # of a training that is interrupted
RAMP = "ramp"  # a field that the checks add: the number of each pixel
PIXEL_KINDS = ("classes", "mask")  # fields that are held against the image pixel by pixel
CPU = torch.device("cpu")


@dataclass(kw_only=True)
class TaskChecks:
    """One task with an encoder of each kind."""

    steps: Sequence[Step]  # score steps
    store: Store
    config_dirs: tuple[str, ...]
    probes: Mapping[str, str] = field(default_factory=dict)  # frozen protocols, and what each reads

    def checks(self) -> Iterator[Check]:
        """Yield the checks by name."""
        yield "finite loss and gradients", self._loss
        yield "batch of one", self._batch_of_one
        yield "predictions read no labels", self._blind
        yield "oracle and worse predictions", self._oracle
        yield "floor and ceiling", self._bounds
        yield "drawing", self._draw
        yield "scores of chunks and weights", self._weights
        yield "bootstrap from saved scores", self._bootstrap
        yield "flip consistency", self._flip
        yield "crop round trip", self._crop
        yield "determinism", self._deterministic
        yield "save, load, continue", self._resumed
        yield "frozen protocols", self._frozen

    def _data(self, split: str) -> Dataset:
        cell = self.steps[0].inputs[0]
        specs = {"test": cell.spec["data"], "train": cell.inputs[0].spec["data"]["train"]}
        return open_dataset(specs[split], self.store.data, self.config_dirs)

    def _networks(self) -> Iterator[FinetuneModule]:
        """Yield a network per kind of encoder, on a spec of fine-tuning."""
        data = self._data("train")
        for step in self.steps:
            yield self._network(step.inputs[0].inputs[0].spec, data)

    def _network(self, spec: Mapping[str, Any], data: Dataset) -> FinetuneModule:
        with seeded_initialisation(spec["seed"], "contract"):
            given = fresh(spec, data.info)
        return build_trainee(spec, build_task(spec, data, self.config_dirs), given)

    def _task(self) -> Task:
        return next(self._networks()).task

    def _spec(self) -> Mapping[str, Any]:
        """Return the spec of fine-tuning."""
        return self.steps[0].inputs[0].inputs[0].spec

    def _inputs(self) -> tuple[str, ...]:
        return tuple(self._spec()["inputs"])

    def _batch(self, rows: int = BATCH) -> Batch:
        """Return some samples with inputs and targets, all of them with what they need."""
        task, data, inputs = self._task(), self._data("train"), self._inputs()
        first = read_batch(data, np.arange(rows), inputs, task.targets, CPU)
        if not (kinds := self._spec().get("pairs", ())):
            return first
        return paired(first, read_batch(data, partners(data, kinds)[:rows], inputs, (), CPU))

    def _backward(self, trainee: FinetuneModule, batch: Batch) -> None:
        trainee.train()
        with seeded_layers(CPU, "contract", "layers"):  # as in training
            terms = trainee.task.loss(trainee.network(batch), batch)
        total(terms).backward()  # type: ignore[no-untyped-call]

    def _loss(self) -> None:
        for trainee in self._networks():
            self._backward(trainee, self._batch())
            encoders = [m for m in trainee.network.modules() if isinstance(m, Encoder)]
            pretrained = {id(p) for encoder in encoders for p in encoder.parameters()}
            for encoder in encoders:
                trained = [p for p in encoder.parameters() if p.requires_grad]  # a task may freeze one
                if trained and all(p.grad is None for p in trained):
                    raise ContractViolation("no gradient reaches an encoder")
            cold = [
                name
                for name, p in trainee.network.named_parameters()
                if id(p) not in pretrained and p.requires_grad and (p.grad is None or not p.grad.any())
            ]
            if cold:
                raise ContractViolation(
                    f"no gradient reaches {cold[0]} ({len(cold)} such parameters of the head)"
                )

    def _batch_of_one(self) -> None:
        for trainee in self._networks():
            self._backward(trainee, self._batch(1))

    def _blind(self) -> None:
        for trainee in self._networks():
            trainee.eval()
            batch = self._batch()
            bare = {name: values for name, values in batch.items() if name not in trainee.task.targets}
            with torch.no_grad():
                try:
                    seen, blind = (trainee.task.predict(trainee.network(b), b) for b in (batch, bare))
                except KeyError as error:
                    raise ContractViolation(
                        f"the network or predict() reads the label {error} in evaluation"
                    ) from None
            for name, values in seen.items():
                if len(values) != BATCH:
                    raise ContractViolation(f'predict()["{name}"] has {len(values)} rows for {BATCH} samples')
                if not np.array_equal(values, blind[name]):
                    raise ContractViolation(f'predict()["{name}"] depends on labels')

    def _scores(self, predicted: Stats, truth: Stats) -> dict[str, float]:
        return evaluate_task(self._task(), predicted, truth)

    def _truth(self) -> Stats:
        data, task = self._data("test"), self._task()
        return data.batch(np.arange(len(data)), (*task.targets, *task.extras))

    def _oracle(self) -> None:
        """Let the truth score best in every metric, and neither mixed up nor untrained predictions do so."""
        truth, task = self._truth(), self._task()
        perfect = task.oracle_prediction(truth)
        best = self._scores(perfect, truth)
        others = {"those of other samples": {n: np.roll(v, 1, axis=0) for n, v in perfect.items()}}
        data = self._data("test")
        for trainee in self._networks():
            predicted = joined(predict_all(trainee, data, np.arange(len(data)), self._spec(), CPU))
            kinds = {m.feature_info.kind for m in trainee.network.modules() if isinstance(m, Encoder)}
            name = f"an untrained {'+'.join(sorted(kinds))} network's"
            others[name] = predicted
        for name, predicted in others.items():
            found = self._scores(predicted, truth)
            for metric in task.metrics:
                sign = 1 if metric.higher_is_better else -1
                top, other = best[metric.name], found[metric.name]
                if not np.isfinite(other):
                    raise ContractViolation(f"metric {metric.name} of {name} predictions is {other}")
                if sign * (top - other) < 0 or (metric is task.metrics[0] and top == other):
                    raise ContractViolation(
                        f"metric {metric.name}: perfect predictions score {top:.6g}, {name} {other:.6g}"
                    )

    def _bounds(self) -> None:
        """Order floor, ceiling and perfect predictions in the primary metric, for each kind of encoder."""
        task, train, test = self._task(), self._data("train"), self._data("test")
        has = {hook: defines(task, hook) for hook in ("floor_prediction", "ceiling_prediction")}
        if not any(has.values()):
            raise NotApplicable("it defines neither floor_prediction() nor ceiling_prediction()")
        truth, count = self._truth(), len(test)
        shapes = self._predicted_shapes()
        steps = {"perfect predictions": self._scores(task.oracle_prediction(truth), truth)}
        floors: dict[str, dict[str, float]] = {}
        if has["floor_prediction"]:
            seen = train.batch(labelled_rows(train, task), task.targets)
            predicted = task.floor_prediction(seen, count)
            _check_shapes("floor_prediction", predicted, shapes, count)
            if any((values != values[:1]).any() for values in predicted.values()):
                raise ContractViolation("floor_prediction() is another one for other samples")
            floors["the floor"] = floor(task, seen, test)
        if not has["ceiling_prediction"]:
            self._ordered([*steps.items(), *floors.items()])
            return
        for trainee in self._networks():
            info = next(m.feature_info for m in trainee.network.modules() if isinstance(m, Encoder))
            name = f"the ceiling of {info.kind}"
            _check_shapes("ceiling_prediction", task.ceiling_prediction(truth, info), shapes, count)
            self._ordered([*steps.items(), (name, ceiling(task, test, info)), *floors.items()])

    def _predicted_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of what `predict` gives for one sample, by name."""
        trainee = next(self._networks()).eval()
        batch = self._batch()
        with torch.no_grad():
            return _shapes(trainee.task.predict(trainee.network(batch), batch))

    def _ordered(self, scores: Sequence[tuple[str, Mapping[str, float]]]) -> None:
        """Make sure that scores get no better from one to the next in the primary metric."""
        metric = self._task().metrics[0]
        sign = 1 if metric.higher_is_better else -1
        for (name, better), (other, worse) in pairwise(scores):
            if sign * (better[metric.name] - worse[metric.name]) < 0:
                raise ContractViolation(
                    f"metric {metric.name}: {other} scores {worse[metric.name]:.6g}, "
                    f"{name} {better[metric.name]:.6g}"
                )

    def _draw(self) -> None:
        """Draw perfect predictions and those of other samples: a column per sample, and not the same."""
        task, data = self._task(), self._data("test")
        if not defines(task, "draw"):
            raise NotApplicable("it defines no draw()")
        truth = self._truth()
        images = data.batch(np.arange(len(data)), [MODALITIES[name] for name in self._inputs()])
        perfect = task.oracle_prediction(truth)
        drawn = []
        for predicted in (perfect, {n: np.roll(v, 1, axis=0) for n, v in perfect.items()}):
            rows = task.draw(predicted, truth, images)
            if not rows:
                raise ContractViolation("draw() returns no rows")
            for title, row in rows.items():
                if row.dtype != np.uint8 or row.ndim != 4 or (len(row), row.shape[3]) != (len(data), 3):
                    raise ContractViolation(
                        f'draw()["{title}"] is {row.dtype} {row.shape}, not uint8 ({len(data)}, H, W, 3)'
                    )
            drawn.append(rows)
        if all(np.array_equal(row, drawn[1][title]) for title, row in drawn[0].items()):
            raise ContractViolation("draw() shows other predictions alike")

    def _predicted(self) -> tuple[Stats, Stats]:
        """Return predictions of some quality and the truth: half of them right, half of other samples."""
        truth = self._truth()
        perfect = self._task().oracle_prediction(truth)
        half = len(next(iter(perfect.values()))) // 2
        mixed = {n: np.concatenate([v[:half], np.roll(v, 1, axis=0)[half:]]) for n, v in perfect.items()}
        return mixed, truth

    def _weights(self) -> None:
        """Let chunks not matter, and a weight of 2 be a sample that is there twice.

        The order of samples may: it decides between detections of equal score.
        """
        predicted, truth = self._predicted()
        task = self._task()
        order = np.arange(len(next(iter(predicted.values()))))
        chunks = []
        for part in (order[: len(order) // 3], order[len(order) // 3 :]):
            chunk = {n: v[part] for n, v in predicted.items()}
            rows = task.score_samples(chunk, {n: v[part] for n, v in truth.items()})
            for name, values in rows.items():
                if len(values) != len(part):
                    raise ContractViolation(f'score_samples()["{name}"] has not one row per sample')
            chunks.append(rows)
        rows = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
        twice = np.random.default_rng(1).integers(0, 3, len(order)).astype(np.float64)
        copied = {name: np.repeat(values, twice.astype(int), axis=0) for name, values in rows.items()}
        ones = np.ones((1, len(order)))
        for what, wanted, found in (
            ("in chunks", self._scores(predicted, truth), task.aggregate(rows, ones)),
            ("of weighted samples", plain_metrics(task, copied), task.aggregate(rows, twice[None])),
        ):
            for name, value in wanted.items():
                if not np.isclose(value, found[name][0], rtol=1e-6, equal_nan=True):
                    raise ContractViolation(
                        f"metric {name} {what} is {found[name][0]:.8g}, otherwise {value:.8g}"
                    )

    def _bootstrap(self) -> None:
        """Let replicates from stored scores equal those from the scores at hand, and enclose the metric."""
        predicted, truth = self._predicted()
        task, clusters = self._task(), self._data("test").clusters
        rows = task.score_samples(predicted, truth)
        file = io.BytesIO()
        np.savez_compressed(file, allow_pickle=False, **rows)
        file.seek(0)
        with np.load(file, allow_pickle=False) as stored:
            saved = {name: stored[name] for name in stored.files}
        weights = resample_weights(clusters, 200, seed=0)
        primary = task.metrics[0].name
        direct, later = (replicates(task.aggregate, r, weights, primary) for r in (rows, saved))
        value = plain_metrics(task, rows)[primary]
        if not np.array_equal(direct, later) or not np.isfinite(direct).all():
            raise ContractViolation(
                "bootstrap replicates from stored scores are not those from the scores at hand"
            )
        if not direct.min() <= value <= direct.max():
            raise ContractViolation(
                f"the primary metric {value:.6g} lies outside all of its bootstrap replicates"
            )

    def _flip(self) -> None:
        """Let mirroring twice give the labels back, and once move them with the image."""
        batch, fields, joints = self._labels()
        once, source = _moved(batch, fields, {"flip": True}, joints)
        twice, _ = _moved(once, fields, {"flip": True}, joints)
        for name, values in batch.items():
            if name != "crop" and not _alike(twice[name], values):
                raise ContractViolation(f'label "{name}" is another one after mirroring twice')
        shown = [n for n in batch if n in fields and fields[n].kind in PIXEL_KINDS]
        present = {n: (batch[n] != 0).to(batch[n].dtype) for n in shown}
        moved = {n: (once[n] != 0).to(once[n].dtype) for n in shown}
        _check_places(batch | present, once | moved, fields, source)

    def _crop(self) -> None:
        """Crop, turn and zoom; then look up in the old image what the labels of the new one say."""
        batch, fields, joints = self._labels()
        moved, source = _moved(batch, fields, CROP, joints)
        _check_places(batch, moved, fields, source)

    def _labels(self) -> tuple[Batch, Mapping[str, Field], str]:
        """Return the labels of a batch, what they are, and their joint set."""
        data, task = self._data("train"), self._task()
        raw = data.batch(np.arange(BATCH), task.targets)
        batch = to_batch(raw, (), task.targets, data.fields, CPU, joint_set=data.info.joint_set)
        height, width = data.info.size
        ramp = torch.arange(height * width, dtype=torch.float32).view(1, 1, height, width) + 1
        fields = {**data.fields, RAMP: Field(dtype="float32", shape=(height, width), kind="depth")}
        return {**batch, RAMP: ramp.repeat(BATCH, 1, 1, 1)}, fields, data.info.joint_set

    def _deterministic(self) -> None:
        for first, second in zip(self._networks(), self._networks(), strict=True):
            for (name, a), b in zip(first.named_parameters(), second.parameters(), strict=True):
                if not torch.equal(a, b):
                    raise ContractViolation(f"{name} is initialised otherwise the second time")
            for trainee in (first, second):
                self._backward(trainee, self._batch())
            for (name, a), b in zip(first.named_parameters(), second.parameters(), strict=True):
                if a.grad is not None and not (b.grad is not None and torch.equal(a.grad, b.grad)):
                    raise ContractViolation(f"the gradient of {name} is another one the second time")

    def _resumed(self) -> None:
        """Fine-tune in one go, and interrupted on the way: equal to the last bit, and so the curve."""
        for number, step in enumerate(self.steps):
            cell = step.inputs[0].inputs[0]
            whole, curve = self._trained(cell, f"whole-{number}")
            parts, other = self._trained(cell, f"parts-{number}", stop_after=STEPS - 1)
            for name, value in whole.items():
                if not torch.equal(value, parts[name]):
                    raise ContractViolation(
                        f"{name} differs after a resume; what must survive belongs into parameters or buffers"
                    )
            if curve != other:
                raise ContractViolation("losses or scores on validation samples differ after a resume")

    def _trained(
        self, cell: Step, name: str, stop_after: int = 0
    ) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
        """Fine-tune for a few steps, stopping once on the way; return the state and the curve."""
        train = {**cell.spec["train"], "steps": STEPS, "batch": BATCH}
        step = replace(cell, spec={**cell.spec, "train": train, "evaluations": 2})
        fabric = make_fabric(step.spec, "cpu")
        data = self._data("train")
        val = open_dataset(step.spec["data"]["val"], self.store.data, self.config_dirs)
        folder = self.store.root / name
        folder.mkdir(parents=True)

        def make() -> tuple[FinetuneModule, Run]:
            trainee = self._network(step.spec, data)
            chosen = choose(data, val, trainee.task, step.spec)
            return trainee, make_run(step, chosen, folder, trainee, fabric)

        trainee, outcome = trained(make, fabric, stop_after)
        return trainee.state_dict(), outcome.curve

    def _frozen(self) -> None:
        """Let the heads of all frozen protocols learn, and leave the encoder as it was, bit by bit."""
        if not self.probes:
            raise NotApplicable("its YAML names no probes")
        data, (modality,) = self._data("train"), self._inputs()
        fabric = make_fabric({"precision": "32-true", "cpu_threads": 1}, "cpu")
        for step in self.steps:
            spec = step.inputs[0].inputs[0].spec
            task = build_task(spec, data, self.config_dirs)
            with seeded_initialisation(spec["seed"], "contract"):
                encoder = fresh(spec, data.info).encoders[modality]
            before = state_digest(encoder)
            for protocol, layers in self.probes.items():
                frozen = Frozen(encoder, data, modality, layers, fabric)
                if protocol != "knn":
                    self._probe(protocol, spec, task, frozen, data)
                if state_digest(encoder) != before:
                    raise ContractViolation(f"{protocol}: the encoder is not what it was")

    def _probe(
        self, protocol: str, spec: Mapping[str, Any], task: Task, frozen: Frozen, data: Dataset
    ) -> None:
        """Train a head for a step, from a batch and from a single sample."""
        head = build_head({**spec, "head": protocol}, task, layer_info(frozen.info, frozen.layout.layers))
        heads = Heads(task, [head], [1.0], frozen.layout).train()
        for rows in (np.arange(BATCH), np.arange(1)):
            raw = data.batch(rows, task.targets)
            batch = to_batch(raw, (), task.targets, data.fields, CPU, joint_set=data.info.joint_set)
            out = heads.step({**batch, FEATURES: torch.from_numpy(frozen.read(rows))}, _context())
            (loss,) = out.terms.values()
            if not loss.requires_grad or not torch.isfinite(loss):
                raise ContractViolation(f"{protocol}: the loss of {len(rows)} samples is not finite")
            heads.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if len(rows) > 1 and any(p.grad is None or not p.grad.any() for p in head.parameters()):
                raise ContractViolation(f"{protocol}: no gradient reaches a parameter of its head")
        features = frozen.layout.unpack(torch.from_numpy(frozen.read(np.arange(BATCH))))
        with torch.no_grad():
            predicted = task.predict(head.eval()(features, data.info.size), {})
        for name, values in predicted.items():
            if len(values) != BATCH:
                raise ContractViolation(f'{protocol}: predict()["{name}"] has {len(values)} rows for {BATCH}')


def _shapes(predicted: Stats) -> dict[str, tuple[int, ...]]:
    return {name: values.shape[1:] for name, values in sorted(predicted.items())}


def _check_shapes(hook: str, found: Stats, wanted: Mapping[str, tuple[int, ...]], count: int) -> None:
    """Make sure that a hook returns what `predict` does, one row per sample."""
    if _shapes(found) != wanted or any(len(values) != count for values in found.values()):
        shapes = {name: values.shape for name, values in found.items()}
        raise ContractViolation(f"{hook}() returns {shapes} for {count} samples, predict() rows of {wanted}")


def _context() -> Context:
    return Context(step=0, total_steps=1, draws=_draws())


def fresh(spec: Mapping[str, Any], info: DataInfo) -> Pretrained:
    """Return encoders with fresh weights for the inputs of a task, and none of the further modules."""
    if spec["needs"]:
        raise NotApplicable(f"its network needs {', '.join(spec['needs'])} of a pretraining")
    return Pretrained(encoders={m: build_encoder(spec["encoder"], m, info.joint_set) for m in spec["inputs"]})


def _moved(
    batch: Batch, fields: Mapping[str, Field], how: Mapping[str, Any], joint_set: str
) -> tuple[Batch, Tensor]:
    """Move a batch; return it with the number of the old pixel that each new one shows.

    Numbers are 1-based, (N, H, W); 0 = from outside. The ramp starts anew in what is returned.
    """
    moved = augment(batch, fields, how, _draws(), joint_set=joint_set)
    return {**moved, RAMP: batch[RAMP]}, moved[RAMP][:, 0].long()


def _check_places(batch: Batch, moved: Batch, fields: Mapping[str, Field], source: Tensor) -> None:
    """Hold moved labels against the old ones at the pixels that the new image shows."""
    inside = (source > 0).flatten(1)
    for name in (n for n in batch if n in fields and fields[n].kind in PIXEL_KINDS):
        old = batch[name].flatten(1).gather(1, (source - 1).clamp(min=0).flatten(1))
        if not torch.equal(moved[name].flatten(1)[inside], old[inside]):
            raise ContractViolation(f'label "{name}" does not move with the image')
    for name in (n for n in batch if n in fields and fields[n].kind in ("pixels", "joints2d")):
        _check_points(batch, moved, name, fields[name], source)


def _check_points(batch: Batch, moved: Batch, name: str, field: Field, source: Tensor) -> None:
    """Hold the places of moved points against the old pixels that the new image shows there."""
    height, width = source.shape[-2:]
    shift = 0.5 if field.kind == "joints2d" else 0.0  # positions in the plane, or pixel centres at integers
    before, after = batch[name][..., :2] - shift, moved[name][..., :2] - shift
    limit = torch.tensor([height, width]) - 0.5
    kept = ((after >= -0.5) & (after < limit)).all(-1) & (before >= 0).all(-1)
    if not kept.any():
        raise NotApplicable("no annotated point stays inside the crop")
    place = after.round().long().clamp(min=0)
    place = torch.minimum(place, torch.tensor([height, width]) - 1)
    shown = source.flatten(1).gather(1, place[..., 0] * width + place[..., 1]) - 1  # (N, P) old pixel
    old = torch.stack([shown // width, shown % width], -1).float()
    if field.flip:  # sides are swapped: any point of the old image may be the one
        gap = (old[:, :, None] - before[:, None]).abs().amax(-1).amin(-1)
    else:
        gap = (old - before).abs().amax(-1)
    off = gap[kept & (shown >= 0)]
    if len(off) and float(off.max()) > 1.5:  # pixels; zooming and rounding to pixels move by one at most
        raise ContractViolation(f'label "{name}" moves {float(off.max()):.1f} pixels away from the image')


def _draws() -> Draws:
    return Draws(generator=seeded("contract", "augment"))


def _alike(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, atol=1e-4) if a.is_floating_point() else torch.equal(a, b)
