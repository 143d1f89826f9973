"""What a training is fed with: batches of its data, augmented, in the order that its seed fixes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning_fabric import Fabric
from numpy.typing import ArrayLike

from bench.api import Batch, Draws
from bench.data.augment import augment
from bench.data.batches import moved, to_batch
from bench.data.loader import Pairs, RawPairs, loader, pair_loader
from bench.dataset import MODALITIES, Arrays, Dataset, Ints
from bench.errors import ConfigError
from bench.grid.augment_spec import Spec, parse
from bench.train.process_group import batch_parts, process_group
from bench.train.run import Run

if TYPE_CHECKING:
    from bench.grid.plan import Step


def feed(
    step: Step,
    data: Dataset,
    folder: Path,
    fabric: Fabric,
    *,
    train: Mapping[str, Any],
    modalities: tuple[str, ...],
    labels: tuple[str, ...] = (),
    views: int = 1,
    pairs: tuple[str, ...] = (),
    first_only: tuple[str, ...] = (),
    rows: ArrayLike | None = None,
    evaluate_at: Sequence[int] = (),
    evaluate: Callable[[], Mapping[str, float]] | None = None,
) -> Run:
    """Connect data, augmentation and recipe of a step to the loop.

    Args:
        step: its spec holds `augment`, maybe `augment2` for the second view or partner, and `seed`; its
            resources how to read and how often to save.
        data: where batches come from.
        folder: of the step.
        fabric: its device gets the batches; its processes share them.
        train: the resolved recipe, with the learning rate and the batch that apply.
        modalities: inputs of the network.
        labels: fields of the data wanted besides.
        views: 2: each batch holds a second augmentation of its samples under `<name>2`.
        pairs: kinds of pairs; each batch holds `train.batch` pairs, the partners' entries under `<name>2`,
            and `pair_kind`.
        first_only: of the labels, those that the second of a pair lacks. The first one is then one of `rows`,
            the second any of its partners.
        rows: samples that take part; None = all. Of pairs, those with both.
        evaluate_at: after how many steps the curve gets a point.
        evaluate: validation metrics of a point.

    Raises:
        ConfigError: the processes cannot share a batch evenly, or the data have no such fields or pairs.
    """
    spec, batch_size, seed = step.spec, int(train["batch"]), int(step.spec["seed"])
    if views not in (1, 2) or (views == 2 and pairs):
        raise ConfigError(
            f"batches have 1 or 2 views, or pairs, not {views} views with {len(pairs)} kinds of pairs"
        )
    own = batch_parts(process_group(fabric), batch_size, int(train.get("batch_groups", 1)))
    reader: dict[str, Any] = {
        "fields": tuple(dict.fromkeys((*(MODALITIES[m] for m in modalities), *labels))),
        "batch_size": batch_size,
        "steps": int(train["steps"]),
        "seed": seed,
        "workers": int(step.resources["data_workers"]),
        "own": own.own,
        "of": own.of,
    }
    found = find_pairs(data, pairs, rows, ordered=bool(first_only)) if pairs else None
    recipes = [parse(spec["augment"]), parse(spec.get("augment2", spec["augment"]))]

    def batches(start: int) -> Iterator[Any]:
        if found:
            return pair_loader(data, pairs=found, start_step=start, **reader)
        return loader(data, rows=rows, start_step=start, **reader)

    def batch_of(raw: Arrays) -> Batch:
        return to_batch(raw, modalities, labels, data.fields, fabric.device, joint_set=data.info.joint_set)

    def augmented(batch: Batch, recipe: Spec, draws: Draws) -> Batch:
        return augment(batch, data.fields, recipe, draws, joint_set=data.info.joint_set)

    def prepare(raw: Any, draws: Draws) -> Batch:
        if isinstance(raw, RawPairs):
            first, second = batch_of(raw.first), batch_of(raw.second)
            second = {name: values for name, values in second.items() if name not in first_only}
            both = paired(augmented(first, recipes[0], draws), augmented(second, recipes[1], draws))
            return {**both, "pair_kind": moved(raw.kind, fabric.device)}
        batch = batch_of(raw)
        out = augmented(batch, recipes[0], draws)
        return paired(out, augmented(batch, recipes[1], draws)) if views == 2 else out

    count = len(found.rows) if found else len(data) if rows is None else len(np.asarray(rows))
    return Run(
        train=train,
        seed=seed,
        folder=folder,
        steps_per_epoch=max(1, count // batch_size),
        batches=batches,
        prepare=prepare,
        images=2 if found else 1,
        parts=own,
        evaluate_at=evaluate_at,
        evaluate=evaluate,
        checkpoint_s=float(step.resources["checkpoint_s"]),
    )


def find_pairs(
    data: Dataset, kinds: Sequence[str], rows: ArrayLike | None = None, ordered: bool = False
) -> Pairs:
    """Return all pairs of some kinds, numbered by their position in `kinds`.

    Args:
        data: whose pairs.
        kinds: of `Dataset.pairs`.
        rows: samples that both are of; None = all.
        ordered: both orders count, and only the first is one of `rows`.

    Raises:
        ConfigError: the data have none.
    """
    found = [data.pairs(kind) for kind in kinds]
    kind = np.repeat(np.arange(len(kinds)), [len(some) for some in found])
    both = np.concatenate(found)
    if ordered:
        both, kind = np.concatenate([both, both[:, ::-1]]), np.concatenate([kind, kind])
    wanted = both[:, :1] if ordered else both
    kept = np.ones(len(both), bool) if rows is None else np.isin(wanted, np.asarray(rows)).all(1)
    return Pairs(rows=both[kept], kind=kind[kept], ordered=ordered)


def partners(data: Dataset, kinds: Sequence[str]) -> Ints:
    """Return for each sample the one that is shown beside it when it is predicted, (n,).

    Samples take the kinds in turn, so that all are tested alike; where there are several partners of a kind,
    the first. A sample without one takes that of the next kind; one that is alone stands beside itself.

    Raises:
        ConfigError: the data have no pairs of a kind.
    """
    found = []
    for kind in kinds:
        both = data.pairs(kind)
        both = np.concatenate([both, both[:, ::-1]])
        first = np.full(len(data), len(data))
        np.minimum.at(first, both[:, 0], both[:, 1])
        found.append(first)
    rows = np.arange(len(data))
    partner = np.full(len(data), len(data))
    for later in range(len(kinds)):
        turn = np.stack(found)[(rows + later) % len(kinds), rows]
        partner = np.where(partner < len(data), partner, turn)
    chosen: Ints = np.where(partner < len(data), partner, rows)
    return chosen


def paired(first: Batch, second: Batch) -> Batch:
    """Put two batches into one, the entries of the second ending in 2."""
    return {**first, **{f"{name}2": values for name, values in second.items()}}
