from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.report.aggregate import Aggregate
from bench.report.figure import Label, Line, Plot, Strokes
from bench.report.overall import Overall
from bench.report.palette import looks
from bench.report.rank_plots import ranks
from bench.report.ranks import rank_methods

NAMES = ("scratch", "cmc", "hcmoco", "mae", "x" * 200)
SCORES = np.random.default_rng(0).normal([30, 31, 36, 33, 32], 0.8, (9, 5))


def overall(tasks: int) -> Overall:
    return Overall(
        setting=("tiny", "controlled", "strict", "1"),
        encoder="resnet10",
        all_tasks=tuple(f"t{i}" for i in range(tasks)),
        tasks=tuple(f"t{i}" for i in range(tasks)),
        cells=tasks,
        seeds=(3, 3),
        methods=NAMES,
        left_out=(),
        exposed=(),
        ranks=rank_methods([row[None] for row in SCORES[:tasks]]),
        ranks_reason="",
        normalised=(Aggregate(value=0.0, low=None, high=None),) * len(NAMES),
        normalised_reason="",
        guarded=(),
        improvements=(),
        paired=(),
        paired_reason="",
    )


def drawn(found: Overall) -> Plot:
    plot = ranks(found, looks(NAMES))
    assert plot is not None
    return plot


def marks(plot: Plot, kind: type) -> list[Any]:
    return [mark for mark in plot.panels[0].marks if isinstance(mark, kind)]


def test_every_method_stands_at_its_rank_in_its_look() -> None:
    found = overall(9)
    assert found.ranks is not None
    plot, style = drawn(found), looks(NAMES)
    placed = {(line.x[0], line.look) for line in marks(plot, Line)}
    assert placed == {(rank, style[name]) for name, rank in zip(NAMES, found.ranks.average, strict=True)}
    words = [label.text for label in marks(plot, Label)]
    for name, rank in zip(NAMES, found.ranks.average, strict=True):
        assert sum(word.startswith(name[:20]) and f"({rank:.2f})" in word for word in words) == 1
    assert max(map(len, words)) < 40  # long names are cut
    low, high = plot.panels[0].x.limits or (0, 0)
    assert low < 1 and high > len(NAMES)


def test_the_critical_difference_is_drawn_to_scale_with_its_cliques() -> None:
    found = overall(9)
    assert found.ranks is not None and found.ranks.critical_difference is not None
    plot = drawn(found)
    critical = found.ranks.critical_difference
    bar = next(mark for mark in marks(plot, Strokes) if mark.width == 1.5)
    assert bar.x_end[0] - bar.x[0] == pytest.approx(critical)
    thick = [(mark.x[0], mark.x_end[0]) for mark in marks(plot, Strokes) if mark.width == 2.2]
    assert thick and all(high - low <= critical + 0.09 for low, high in thick)
    assert f"CD = {critical:.2f}" in {label.text for label in marks(plot, Label)}
    assert "Thick lines join" in plot.caption and "n = 9 tasks" in plot.caption


def test_without_a_critical_difference_the_caption_says_why() -> None:
    plot = drawn(overall(4))
    assert "No critical difference: it needs at least 5 tasks (here 4)." in plot.caption
    assert "Thick lines" not in plot.caption
    assert not [mark for mark in marks(plot, Strokes) if mark.width > 1]


def test_no_ranks_no_plot() -> None:
    assert ranks(replace(overall(9), ranks=None), looks(NAMES)) is None
