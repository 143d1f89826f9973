"""The table of actions. Their order is part of the data: `ids` store the position.

Compact poses are drawn more often than upright ones, because they fill a square image better.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from numpy.random import Generator

from bench.synth import actions_daily as daily
from bench.synth import actions_sport as sport
from bench.synth.angles import Floats, Pose


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A way to fill in a pose, how often it repeats, and how often it is drawn."""

    fill: Callable[[Pose, Generator, Floats], None]
    rate: float = 0.4  # periods per second
    share: float = 1.0  # relative frequency


ACTIONS: dict[str, Action] = {
    "stand": Action(fill=daily.stand, share=0.7),
    "walk": Action(fill=daily.walk, rate=0.95, share=0.8),
    "run": Action(fill=daily.run, rate=1.4),
    "sit": Action(fill=daily.sit, share=1.6),
    "floor": Action(fill=daily.floor, share=1.8),
    "squat": Action(fill=daily.squat, rate=0.35, share=1.7),
    "jump": Action(fill=sport.jump, rate=0.6, share=1.2),
    "jumping_jack": Action(fill=sport.jumping_jack, rate=0.8, share=0.8),
    "wave": Action(fill=daily.wave, rate=0.7, share=0.7),
    "reach": Action(fill=daily.reach, share=0.8),
    "pick_up": Action(fill=daily.pick_up, share=1.7),
    "kick": Action(fill=sport.kick, rate=0.55),
    "box": Action(fill=sport.box, rate=0.9, share=0.9),
    "throw": Action(fill=sport.throw, rate=0.5),
    "lunge": Action(fill=sport.lunge, share=1.2),
    "stretch": Action(fill=sport.stretch, share=1.1),
    "clap": Action(fill=sport.clap, rate=0.9, share=0.8),
    "dance": Action(fill=sport.dance, rate=0.35, share=1.5),
    "lie": Action(fill=daily.lie, share=0.4),  # the least natural poses
}
HELD_OUT: tuple[str, ...] = ("kick", "lunge", "clap")  # seen by downstream test sets alone
