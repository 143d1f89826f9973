from __future__ import annotations

from bench.execute.arrays import arrays
from bench.grid.plan import Step

FULL = {"nodes": 1, "gpus": 0, "cpus": 1, "mem": 4, "hours": 1}


def stage(name: str, *inputs: Step, steps: int = 1, **resources: float) -> Step:
    spec = {"name": name, "encoder": {"name": "e"}, "seed": 0, "train": {"steps": steps} if steps else {}}
    return Step("pretrain", spec, inputs, {**FULL, **resources})


def cell(name: str, chain: Step, **resources: float) -> Step:
    return Step("score", {"name": name}, (chain,), {**FULL, **resources})


def by_key(*steps: Step) -> dict[str, Step]:
    return {step.key: step for step in steps}


FIRST = stage("first")
SECOND = stage("second", FIRST)
OTHER = stage("other", gpus=2)
RANDOM = stage("random", steps=0)
CELLS = (cell("a", SECOND), cell("b", SECOND), cell("c", OTHER), cell("d", RANDOM), cell("e", RANDOM))


def shape(*args: object, limit: int = 100) -> list[tuple[int, str]]:
    return [(len(a.steps), a.after) for a in arrays(*args, limit=limit)]  # type: ignore[arg-type]


def test_there_is_one_array_per_shared_input_and_resources() -> None:
    found = arrays(by_key(FIRST, SECOND, OTHER, RANDOM), by_key(*CELLS), (), 100)
    assert [(a.steps, a.after) for a in found] == [
        ((FIRST,), ""),
        ((SECOND,), FIRST.key),
        ((OTHER,), ""),
        (CELLS[:2], SECOND.key),
        ((CELLS[2],), OTHER.key),
        (CELLS[3:], ""),  # what needs no training is made by the cells themselves
    ]
    assert [a.resources["gpus"] for a in found] == [0, 0, 2, 0, 0, 0]
    mixed = (cell("a", SECOND), cell("b", SECOND, hours=2))
    assert len(arrays({}, by_key(*mixed), (), 100)) == 2


def test_done_stages_are_not_waited_for_and_busy_steps_not_submitted() -> None:
    assert shape({}, by_key(*CELLS), ()) == [(5, "")]
    busy = (FIRST.key, CELLS[0].key)
    assert shape(by_key(FIRST, SECOND), by_key(*CELLS[:2]), busy) == [(1, FIRST.key), (1, SECOND.key)]


def test_arrays_are_split_at_the_limit() -> None:
    assert shape({}, by_key(*CELLS), (), limit=2) == [(2, ""), (2, ""), (1, "")]
