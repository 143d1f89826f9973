"""Every check of a task finds the fault that is planted for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.adapter_kit import tasks
from bench.adapter_kit.finding import ContractViolation, Finding, run
from bench.adapter_kit.scaffold import write
from bench.adapter_kit.setting import prepared, task_cells
from bench.adapter_kit.tasks import TaskChecks
from bench.api import Batch
from bench.records.store import Store

FAULTS: dict[str, tuple[str, str, str, str]] = {  # name: check, what it says, words of the skeleton, instead
    "nan": ("finite loss and gradients", "loss term bce is nan", '{"bce": F.binary',
            '{"bce": float("nan") * F.binary'),
    "cold": ("finite loss and gradients", "no gradient reaches head.",
             'logits = out["maps"][:, 0]', 'logits = 0 * out["maps"][:, 0]'),
    "peeks": ("predictions read no labels", "predict()", '(out["maps"][:, 0] > 0)',
              '(out["maps"][:, 0] + batch.get("mask", 0) > 0)'),
    "inverted": ("oracle and worse predictions", "perfect predictions score", '"mask": truth["mask"]}',
                 '"mask": ~truth["mask"]}'),
    "names": ("oracle and worse predictions", "the task declares iou", 'return {"iou": 100',
              'return {"ion": 100'),
    "thin": ("floor and ceiling", "predict() rows of", "np.repeat(usual[None], n, axis=0)",
             "np.repeat(usual[None, None], n, axis=0)"),
    "knowing": ("floor and ceiling", "is another one for other samples",
                "np.repeat(usual[None], n, axis=0)", "np.resize(seen[\"mask\"], (n, *usual.shape))"),
    "low": ("floor and ceiling", "the floor scores", "pixel_grid(info, size))[:, 0] > 0.5)",
            "pixel_grid(info, size))[:, 0] > 2)"),
    "blank": ("drawing", "shows other predictions alike", '"prediction": predicted["mask"]}',
              '"prediction": truth["mask"]}'),
    "scaled": ("drawing", "not uint8", "np.uint8(255) *", "np.float32(1) *"),
    "shared": ("scores of chunks and weights", "in chunks", '{"both": both,', '{"both": both * len(both),'),
    "rows": ("scores of chunks and weights", "has not one row per sample", '"either": either}',
             '"either": either.sum(keepdims=True)}'),
    "counter": ("save, load, continue", "after a resume", '{"bce": F.binary',
                '{"bce": vars(self).update(n=getattr(self, "n", 0) + 1) or self.n * F.binary'),
    "objects": ("bootstrap from saved scores", "", '"either": either}',
                '"either": either.astype(object)}'),
}  # fmt: skip


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return prepared(task_cells("densepose", ()), tmp_path_factory.mktemp("rendered"), ())


@pytest.fixture
def check(
    rendered: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str, str], dict[str, Finding]]:
    """Plant a fault into a skeleton; return what the checks find, by name."""
    monkeypatch.setenv("BENCH_DATA", str(rendered.data))

    def found(name: str, old: str, new: str, only: str = "") -> dict[str, Finding]:
        (source, _, _), _ = write("task", name, tmp_path)
        assert source.read_text().count(old) == 1
        source.write_text(source.read_text().replace(old, new))
        dirs = (str(tmp_path),)
        cells = TaskChecks(steps=task_cells(name, dirs), store=Store(tmp_path / "store"), config_dirs=dirs)
        return {f.check: f for f in run((n, c) for n, c in cells.checks() if only in ("", n))}

    return found


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found(fault: str, check: Callable[..., dict[str, Finding]]) -> None:
    name, said, old, new = FAULTS[fault]
    finding = check(f"planted_task_{fault}", old, new, name)[name]
    assert finding.state == "failed" and said in finding.reason, finding


@pytest.mark.parametrize("label", ["points", "mask"])
@pytest.mark.parametrize("name", ["flip consistency", "crop round trip"])
def test_labels_that_do_not_move_with_the_picture_are_found(
    name: str, label: str, rendered: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_DATA", str(rendered.data))
    check = dict(TaskChecks(steps=task_cells("densepose", ()), store=rendered, config_dirs=()).checks())[name]
    check()
    moves = tasks.augment

    def stuck(batch: Batch, *words: Any, **more: Any) -> Batch:
        return moves(batch, *words, **more) | {label: batch[label]}

    monkeypatch.setattr(tasks, "augment", stuck)
    with pytest.raises(ContractViolation, match=f"{label}.* move"):
        check()


def test_a_skeleton_has_no_fault(check: Callable[..., dict[str, Finding]]) -> None:
    found = check("sound_task", "One logit per pixel", "One logit per pixel")
    other = {name: f.state for name, f in found.items() if f.state != "ok"}
    assert other == {"frozen protocols": "n/a"}, found  # a skeleton has none
