"""What a training is fed with: batches of its data, augmented, in the order that its seed fixes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from bench.api import Batch, Draws
from bench.data.augment import augment
from bench.data.batches import SOURCES, to_batch
from bench.data.loader import loader
from bench.data.people import People
from bench.plan import Step
from bench.train.peers import peers, share
from bench.train.run import Run


def feed(
    step: Step,
    data: People,
    folder: Path,
    fabric: Fabric,
    *,
    train: Mapping[str, Any],
    modalities: tuple[str, ...],
    labels: tuple[str, ...] = (),
    rows: Sequence[int] | None = None,
    evaluate_at: Sequence[int] = (),
    evaluate: Callable[[], Mapping[str, float]] | None = None,
) -> Run:
    """Connect data, augmentation and recipe of a step to the loop.

    Args:
        step: its spec holds `augment` and `seed`, its resources how to read and how often to save.
        data: where batches come from.
        folder: of the step.
        fabric: its device gets the batches; its processes share them.
        train: the resolved recipe, with the learning rate and the batch that apply.
        modalities: inputs of the network.
        labels: fields of the data wanted besides.
        rows: samples that take part; None = all.
        evaluate_at: after how many steps the curve gets a point.
        evaluate: validation metrics of a point.

    Raises:
        ConfigError: the processes cannot share a batch evenly.
    """
    spec, batch_size = step.spec, int(train["batch"])
    fields = (*(SOURCES[m] for m in modalities), *labels)
    parts = share(peers(fabric), batch_size, int(train.get("groups", 1)))

    def batches(start: int) -> Iterator[Any]:
        return loader(
            data,
            fields=fields,
            batch_size=batch_size,
            steps=int(train["steps"]),
            seed=int(spec["seed"]),
            start_step=start,
            workers=int(step.resources["data_workers"]),
            rows=rows,
            own=parts.own,
            of=parts.of,
        )

    def prepare(raw: Any, draws: Draws) -> Batch:
        batch = to_batch(raw, modalities, labels, fabric.device)
        return augment(batch, spec["augment"], draws, joint_set=data.info.joint_set)

    return Run(
        train=train,
        seed=int(spec["seed"]),
        folder=folder,
        steps_per_epoch=max(1, (len(data) if rows is None else len(rows)) // batch_size),
        batches=batches,
        prepare=prepare,
        share=parts,
        evaluate_at=evaluate_at,
        evaluate=evaluate,
        checkpoint_s=float(step.resources["checkpoint_s"]),
    )
