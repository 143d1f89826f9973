import math

import pytest

from bench.errors import ConfigError
from bench.grid.schema import SCHEDULES
from bench.train.schedule import learning_rate


def rates(schedule: str, steps: int = 100, per_epoch: int = 10, warmup: float = 0.0) -> list[float]:
    train = {"lr": 2.0, "steps": steps, "schedule": schedule, "warmup": warmup}
    train |= {"milestones": [0.5, 0.9], "gamma": 0.1}
    return [learning_rate(train, step, per_epoch) for step in range(steps)]


@pytest.mark.parametrize(
    ("schedule", "first", "last"),
    [
        ("constant", 2.0, 2.0),
        ("cos_epoch", 0.002 + 1.998 * (1 + math.cos(math.pi / 10)) / 2, 0.002),
        ("cos_moco", 2.0, 1 + math.cos(0.9 * math.pi)),
        ("cos_warm_lars", 2.0, 1 + math.cos(0.99 * math.pi)),
        ("cos_warm_step", 2.0, 1 + math.cos(0.99 * math.pi)),
        ("poly", 2.0, 2 * 0.01**0.9),
        ("steps", 2.0, 0.02),
    ],
)
def test_end_points_follow_the_closed_forms(schedule: str, first: float, last: float) -> None:
    found = rates(schedule)
    assert found[0] == pytest.approx(first, rel=1e-12) and found[-1] == pytest.approx(last, rel=1e-9)
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("schedule", ["cos_epoch", "cos_moco"])
def test_epoch_schedules_change_at_epoch_boundaries_alone(schedule: str) -> None:
    found = rates(schedule, steps=95)  # the last epoch is cut short
    changes = [i for i in range(1, 95) if found[i] != found[i - 1]]
    assert changes == [10, 20, 30, 40, 50, 60, 70, 80, 90]


def test_warm_up_rises_linearly_to_the_full_rate() -> None:
    found = rates("cos_warm_step", warmup=0.2)
    assert found[:20] == pytest.approx([2.0 * (i + 1) / 21 for i in range(20)])
    assert found[20] == 2.0 == max(found)
    assert found[60] == pytest.approx(1.0)  # half-way down


def test_warm_up_for_lars_starts_from_a_hundredth() -> None:
    found = rates("cos_warm_lars", warmup=0.2)
    assert found[:20] == pytest.approx([0.02 + 1.98 * i / 20 for i in range(20)])
    assert found[20] == 2.0 == max(found)
    assert found[20:] == rates("cos_warm_step", warmup=0.2)[20:]


def test_every_listed_schedule_works_for_one_step_and_others_are_named() -> None:
    for schedule in SCHEDULES:
        assert 0 < rates(schedule, steps=1, per_epoch=0)[0] <= 2.0
    with pytest.raises(ConfigError, match=r'"cos_epok".*Did you mean "cos_epoch"'):
        rates("cos_epok")
