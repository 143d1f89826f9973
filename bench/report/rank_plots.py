"""Average ranks over tasks, as a critical difference diagram."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report import text
from bench.report.figure import INK, PALE, Axis, Label, Line, Mark, Panel, Plot, Strokes
from bench.report.overall import Overall
from bench.report.plots import Style
from bench.report.ranks import cliques
from bench.report.summary_grids import critical_text

_NAME = 26  # most characters of a name
_LEVEL = 0.3  # between lines that join methods, in the units of the leaders


def ranks(found: Overall, style: Style) -> Plot | None:
    """Plot average ranks over tasks; None where there are none.

    Without a critical difference the caption says why there is none.
    """
    if found.ranks is None:
        return None
    order = sorted(zip(found.ranks.average, found.methods, strict=True))
    critical = found.ranks.critical_difference
    spans = cliques(found.ranks.average, critical) if critical else []
    joined = " Thick lines join methods within one critical difference." if spans else ""
    first = 1 + _LEVEL * max(0, len(spans) - 2)  # depth of the first leader, below the lines
    last = first + (len(order) + 1) // 2 - 1
    spare = _spare([name for _, name in order])
    preset, track, mode, protocol = found.setting
    marks = [*_scale(len(order)), *_methods(order, style, first), *_joins(spans)]
    marks += _critical(critical) if critical else []
    return Plot(
        name=text.slug("ranks", found.encoder, *found.setting),
        title=f"{found.encoder}: average ranks over {len(found.tasks)} tasks",
        caption=(
            "1 is best; ranks of mean scores, averaged over label shares, then over tasks (n = "
            f"{len(found.tasks)} tasks). {critical_text(found)}{joined} Preset {preset}, {track} track, "
            f"{mode} mode, protocol {protocol}."
        ),
        panels=(
            Panel(
                title="",
                x=Axis(shown=False, limits=(1 - spare, len(order) + spare)),
                y=Axis(shown=False, limits=(-last - 0.4, 2.0)),
                marks=tuple(marks),
            ),
        ),
        legend=(),
        share_y=False,
        height=0.77 + 0.17 * last,
        wide=True,
    )


def _spare(names: Sequence[str]) -> float:
    """Return the room for names on both sides of the scale, in ranks."""
    share = min(0.36, 0.05 + 0.0095 * (8 + max(len(_short(name)) for name in names)))  # of the whole width
    return share / (1 - 2 * share) * max(1, len(names) - 1)


def _short(name: str) -> str:
    name = text.plain(name)
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"


def _scale(count: int) -> list[Mark]:
    """Return the axis of the ranks with its ticks."""
    ticks = tuple(map(float, range(1, count + 1)))
    axis = Strokes(
        x=(1.0, *ticks),
        y=(0.0,) * (count + 1),
        x_end=(float(count), *ticks),
        y_end=(0.0, *(0.18 for _ in ticks)),
        colour=INK,
        width=0.8,
    )
    return [axis, *(Label(x=tick, y=0.3, text=f"{tick:.0f}", side="middle") for tick in ticks)]


def _methods(order: Sequence[tuple[float, str]], style: Style, first: float) -> list[Mark]:
    """Return the methods with their leaders: the better half to the left, the others to the right."""
    count, half = len(order), (len(order) + 1) // 2
    away = 0.03 * max(1, count - 1)
    marks: list[Mark] = []
    for i, (rank, name) in enumerate(order):
        left = i < half
        depth = -first - (i if left else count - 1 - i)
        edge = 1 - away if left else count + away
        leader = Strokes(
            x=(rank, rank), y=(0.0, depth), x_end=(rank, edge), y_end=(depth, depth), colour=PALE, width=0.7
        )
        word = Label(
            x=edge - 0.8 * away if left else edge + 0.8 * away,
            y=depth - 0.17,
            text=f"{_short(name)} ({rank:.2f})",
            side="right" if left else "left",
        )
        ends = Line(x=(rank, edge), y=(0.0, depth), look=style[name], joined=False)
        marks += [leader, ends, word]
    return marks


def _joins(spans: Sequence[tuple[float, float]]) -> list[Mark]:
    levels = [(-0.35 - _LEVEL * i,) for i in range(len(spans))]
    return [
        Strokes(x=(low - 0.04,), y=level, x_end=(high + 0.04,), y_end=level, colour=INK, width=2.2)
        for (low, high), level in zip(spans, levels, strict=True)
    ]


def _critical(critical: float) -> list[Mark]:
    """Return the bar that shows the critical difference."""
    return [
        Strokes(x=(1.0,), y=(1.2,), x_end=(1 + critical,), y_end=(1.2,), colour=INK, width=1.5),
        Label(x=1 + critical / 2, y=1.38, text=f"CD = {critical:.2f}", side="middle"),
    ]
