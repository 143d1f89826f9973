"""The figures of a report, drawn with Matplotlib from the same frames that the CSV files hold.

`plots` turns frames into `Plot`s: plain numbers and words. `draw_all` draws those whose files are missing or
do not show the same any more. PNG and SVG come from one layout.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.files import sha256_file, sha256_text, write_atomic, writing
from bench.report import budget, text
from bench.report.overview import distinctions, is_scratch
from bench.report.records import SETTING, TABLE, common_curves, with_kinds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INDEX = "drawn.json"  # in the folder of plots: what each figure was drawn from
DPI = 200
CROWD = 8  # methods, from which on figures are wide and bands faint
INK, PALE = "#222222", "#888888"
COLUMN, PAGE = 3.4, 7.0  # inches: widths of one and of two columns of a paper
RC: Any = {  # settings of Matplotlib
    "axes.edgecolor": INK, "axes.formatter.limits": (-4, 6), "axes.formatter.useoffset": False,
    "axes.grid": True, "axes.labelsize": 7.5, "axes.linewidth": 0.6, "axes.spines.right": False,
    "axes.spines.top": False, "axes.titlesize": 8, "axes.axisbelow": True, "figure.titlesize": 8.5,
    "figure.titleweight": "bold", "font.family": "DejaVu Sans", "font.size": 7, "grid.color": "#dddddd",
    "grid.linewidth": 0.4, "legend.fontsize": 7, "legend.frameon": False, "lines.linewidth": 1.3,
    "lines.markeredgewidth": 0.5, "svg.fonttype": "path", "svg.hashsalt": "bodybench",
    "text.parse_math": False, "xtick.labelsize": 7, "ytick.labelsize": 7, "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}  # fmt: skip

# ---- looks, by slot: Okabe and Ito's colours ("Color Universal Design", 2008) without the yellow, too pale
# for lines, and seven more that differ from them for all common kinds of vision

COLOURS = (
    "#E69F00", "#D55E00", "#BD1F01", "#009E73", "#CC79A7", "#8C564B", "#56B4E9",
    "#00CC99", "#DDCC77", "#0072B2", "#4B0092", "#661100", "#882255", "#000000",
)  # fmt: skip
MARKERS = ("D", "o", "h", "s", "^", "<", "v", "d", ">", "P", "X", "p", "*", "8")
DASHES: tuple[Any, ...] = ("-", (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1)), (0, (1, 1)))
GREY = "#7A7A7A"
_SALT = 4166409  # chosen so that the methods shipped get different slots, but for files' weights and hands'


class Look(NamedTuple):
    """How a method is drawn; colour, marker and dashes together are its own."""

    colour: str
    marker: str
    dash: Any  # "-", or offset and lengths in line widths


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Give every name its look, which does not depend on the others unless two names want the same.

    Then the later one in the alphabet takes the next free one: the 14 colours first, then the same ones with
    other markers and dashes. Scratch is grey and dashed.
    """
    found: dict[str, Look] = {}
    taken: set[int] = set()
    grey = 0
    for name in sorted(set(names)):
        if is_scratch(name):
            found[name] = Look(GREY, MARKERS[grey % len(MARKERS)], (0, (4, 2 + grey // len(MARKERS))))
            grey += 1
            continue
        wanted = int.from_bytes(hashlib.sha256(f"{_SALT}:{name}".encode()).digest()[:8], "big") % 14
        tier = 0
        while not (free := [s for i in range(14) if (s := 14 * tier + (wanted + i) % 14) not in taken]):
            tier += 1
        taken.add(free[0])
        found[name] = _look(free[0])
    return found


def _look(slot: int) -> Look:
    tier = slot // len(COLOURS)
    marker = MARKERS[(slot + tier) % len(MARKERS)]  # each round of 14 gives a colour another marker
    return Look(COLOURS[slot % len(COLOURS)], marker, DASHES[tier % len(DASHES)])


# ---- what figures show


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One figure: numbers and words, ready to be drawn anywhere."""

    kind: str  # of `_DRAW`
    subject: tuple[Any, ...]  # values of `TABLE`, or of `SETTING` and the encoder for ranks over tasks
    name: str  # of its files, without suffix
    title: str
    caption: str
    looks: Mapping[str, Look]  # of the methods in it, in the order of the legend
    panels: Sequence[tuple[str, Any]]  # title and what the kind of figure draws
    encoder: str = ""  # the one it shows, "" = all
    x: str = ""
    y: str = ""
    ticks: Sequence[tuple[float, str]] = ()  # of x where they are fixed
    levels: Sequence[tuple[float, float]] = ()  # floor and ceiling of each panel, NaN where not known

    @property
    def files(self) -> tuple[str, str]:
        """Return the names of its files."""
        return f"{self.name}.png", f"{self.name}.svg"

    def digest(self) -> str:
        """Return what its files depend on, the code included, as 64 hex digits."""
        return sha256_text(f"{_code()} {self!r}")


@cache
def _code() -> str:
    return f"{version('matplotlib')} {sha256_file(Path(__file__))}"


def plots(
    cells: pd.DataFrame,
    differences: pd.DataFrame,
    cost_quality: pd.DataFrame,
    over_tasks: pd.DataFrame,
    curves: Mapping[str, NDArray[np.float64]],
) -> list[Plot]:
    """Return all figures of a report.

    Args:
        cells: of `leaderboard.csv`; the column `keys` holds sequences.
        differences: of `differences.csv`.
        cost_quality: of `cost_quality.csv`.
        over_tasks: of `over_tasks.csv`.
        curves: by record key, (P, 2): fine-tuning progress in (0, 1] and the validation metric.
    """
    primary = with_kinds(cells[cells["primary"].astype(bool)])
    style = looks([*primary["name"], *(over_tasks["method"] if len(over_tasks) else ())])
    paired, costs = _by_table(with_kinds(differences)), _by_table(with_kinds(cost_quality))
    words = distinctions(primary)
    made: list[Plot | None] = []
    for key, rows in _by_table(primary).items():
        table = _Table(key, rows, style, words[key])
        made.append(efficiency(table))
        if key in paired:
            against = paired[key][paired[key]["against"] == "reference"]
            made += [bars(table, part) for _, part in against.groupby("reference", sort=False)]
        made += [convergence(table, str(e), p, curves) for e, p in rows.groupby("encoder", sort=False)]
        made += [front(table, costs[key])] if key in costs else []
    if len(over_tasks):
        made += [ranks(part, style) for _, part in over_tasks.groupby([*SETTING, "encoder"], sort=False)]
    return [plot for plot in made if plot]


def _by_table(frame: pd.DataFrame) -> dict[tuple[Any, ...], pd.DataFrame]:
    return dict(list(frame.groupby([*TABLE], sort=False))) if len(frame) else {}


class _Table:
    """One task under one protocol, with one kind of budget: primary cells, and what all figures share."""

    def __init__(
        self, key: tuple[Any, ...], cells: pd.DataFrame, style: Mapping[str, Look], distinction: str
    ) -> None:
        self.key, self.cells = key, cells
        self.at: dict[str, Any] = dict(zip(TABLE, key, strict=True))
        self.kind = str(self.at["budgets"])
        self.few = self.kind == budget.SHOTS
        self.task = f"{self.at['task']}{', few-shot' * self.few}"
        self.metric = f"{self.at['metric']} ({text.unit_name(self.at['unit'])})"
        self._style, self._distinction = style, distinction

    def plot(self, file: str, names: Iterable[str], said: str, *, kind: str = "", **more: Any) -> Plot:
        """Return a figure of these methods; its caption also says the protocol, and who lacks runs."""
        setting, names = [str(self.at[name]) for name in SETTING], set(names)
        lacking = self.cells[~self.cells["complete"].astype(bool) & self.cells["name"].isin(names)]
        named = sorted({f"{a} on {b}" for a, b in zip(lacking["name"], lacking["encoder"], strict=True)})
        partial = f" Incomplete: {text.listed(named)}." if named else ""
        where = (str(self.at["task"]), str(self.at["dataset"]), more.get("encoder", ""))
        return Plot(
            kind=kind or file,
            subject=self.key,
            name=text.slug("shots" * self.few, file, *where, *setting, self._distinction),
            caption=f"{said}. {_setting(setting)}{partial}",
            looks={name: self._style[name] for name in sorted(names, key=_scratch_first)},
            **more,
        )


def _scratch_first(name: str) -> tuple[bool, str]:
    return not is_scratch(name), name


def _setting(words: Sequence[str]) -> str:
    return "Preset {}, {} track, {} mode, protocol {}.".format(*words)


def _seeds(counts: Iterable[float]) -> str:
    low, high = min(counts := [int(n) for n in counts]), max(counts)
    return f"n = {low} to {high} seeds" if low < high else f"n = {text.count(low, 'seed')}"


def _panels(frame: pd.DataFrame, columns: str) -> list[tuple[str, list[tuple[Any, ...]]]]:
    """Return the rows of each encoder as plain numbers and words."""
    grouped = frame.groupby("encoder", sort=False)
    return [(str(e), list(p[columns.split()].itertuples(index=False, name=None))) for e, p in grouped]


def _levels(cells: pd.DataFrame) -> list[tuple[float, float]]:
    """Return floor and ceiling of each encoder; NaN where no record tells, as in older files."""
    told = cells.reindex(columns=["encoder", "floor", "ceiling"]).astype({"floor": float, "ceiling": float})
    ends = told.groupby("encoder", sort=False).first()
    return [(float(low), float(high)) for low, high in ends.itertuples(index=False, name=None)]


def _dashed(levels: Sequence[tuple[float, float]]) -> str:
    return "; dashed: floor and ceiling on the test data, where in range" * (not np.isnan(levels).all())


def efficiency(table: _Table) -> Plot:
    """Show the test metric over the labels, one panel per encoder."""
    budgets = {b.label: b for b in map(budget.parse, table.cells["fraction"])}
    cells = table.cells.assign(x=[float(budgets[label].value) for label in table.cells["fraction"]])
    cells = cells.sort_values("x", kind="stable")
    levels = _levels(cells)
    covered = ", for one seed over ".join(sorted(set(cells["kind"]) - {"none"}))
    bands = f"bands and bars: 95 % interval over {covered}" if covered else "no intervals recorded"
    return table.plot(
        "efficiency",
        cells["name"],
        f"{_seeds(cells['n'])}; lines: mean over seeds; {bands}{_dashed(levels)}",
        title=f"{table.task}: data efficiency",
        panels=_panels(cells, "name x mean low high"),
        levels=levels,
        x=f"{budget.AXIS[table.kind]} (log scale)",
        y=f"{table.metric}, test",
        ticks=[(float(b.value), str(b.value) if table.few else b.title) for b in sorted(budgets.values())],
    )


def convergence(
    table: _Table, encoder: str, cells: pd.DataFrame, curves: Mapping[str, NDArray[np.float64]]
) -> Plot | None:
    """Show the validation metric over fine-tuning, one panel per label budget; None without curves."""
    panels: dict[budget.Budget, list[tuple[Any, ...]]] = {}
    for name, label, keys in zip(cells["name"], cells["fraction"], cells["keys"], strict=True):
        pair = common_curves([curves[key] for key in keys if key in curves])
        if pair:
            x, y = pair
            bounds = (part.tolist() for part in (100 * x, y.mean(axis=0), y.min(axis=0), y.max(axis=0)))
            panels.setdefault(budget.parse(label), []).append((name, len(y), *bounds))
    if not panels:
        return None
    counts = [n for rows in panels.values() for _, n, *_ in rows]
    bands = "bands: smallest to largest seed" if max(counts) > 1 else "one seed, hence no bands"
    levels = _levels(cells) * len(panels)
    return table.plot(
        "convergence",
        {name for rows in panels.values() for name, *_ in rows},
        f"{_seeds(counts)}; lines: mean over seeds; {bands}{_dashed(levels)}",
        title=f"{table.task}, {encoder}: fine-tuning",
        panels=[(b.header, panels[b]) for b in sorted(panels)],
        levels=levels,
        encoder=encoder,
        x="fine-tuning progress (% of steps)",
        y=f"{table.metric}, validation",
        ticks=[(25.0 * i, str(25 * i)) for i in range(5)],
    )


def bars(table: _Table, found: pd.DataFrame) -> Plot:
    """Show the paired differences to one reference as bars, one panel per encoder."""
    at, reference = table.at, str(found["reference"].iloc[0])
    unit = {"%": "%-points"}.get(at["unit"], text.unit_name(at["unit"]))
    least = f" and at least {at['minimum_effect']:g}" if at["minimum_effect"] else ""
    order = sorted({budget.parse(label) for label in found["fraction"]})
    found = found.assign(place=[order.index(budget.parse(label)) for label in found["fraction"]])
    return table.plot(
        f"differences_{reference}",
        found["method"],
        f"{_seeds(found['n'])}; bars: mean paired difference over common seeds and test units, with 95 % "
        f"interval; {'up' if at['higher_is_better'] else 'down'} is better; full colour: better or worse "
        f"(p < 0.05 after Holm's correction{least}), pale: tie",
        kind="differences",
        title=f"{table.task}: difference to {reference}",
        panels=_panels(found, "method place difference low high verdict"),
        x=budget.AXIS[table.kind],
        y=f"difference in {at['metric']} ({unit})",
        ticks=[(float(i), str(b.value) if table.few else b.title) for i, b in enumerate(order)],
    )


def front(table: _Table, points: pd.DataFrame) -> Plot | None:
    """Show the test metric over device-hours at the largest budget, one panel per encoder.

    None where no encoder has two methods with known costs.
    """
    largest = max(map(budget.parse, table.cells["fraction"]))
    shown = points[(points["fraction"] == largest.label) & (points["device_hours"].fillna(0) > 0)]
    shown = shown[shown.groupby("encoder")["method"].transform("size") > 1]
    if shown.empty:
        return None
    return table.plot(
        "cost",
        shown["method"],
        f"{_seeds(shown['n'])}; points: means over seeds with 95 % intervals; device-hours: pretraining and "
        "fine-tuning of one run; dashed: Pareto front of the means (no method is better at no more cost)",
        title=f"{table.task}: cost, {largest.header}",
        panels=_panels(shown, "method device_hours mean low high front_device_hours"),
        x="device-hours (log scale)",
        y=f"{table.metric}, test",
    )


def ranks(found: pd.DataFrame, style: Mapping[str, Look]) -> Plot | None:
    """Show average ranks over tasks as a critical difference diagram (Demsar, JMLR 7, 2006)."""
    found = found[found["average_rank"].notna()]
    if found.empty:
        return None
    first = found.iloc[0]
    setting = [str(first[name]) for name in SETTING]
    tasks, encoder = int(first["n_tasks"]), str(first["encoder"])
    order = sorted(zip(found["average_rank"], found["method"], strict=True))
    critical, p = float(first["critical_difference"]), float(first["friedman_p"])
    tested = f"Friedman test (F-shaped correction) over {tasks} tasks: {text.p_value(p)}. "
    needs = f"it needs at least 3 methods and 5 tasks (here {len(order)} and {tasks})"
    said = "" if math.isnan(p) else tested
    if math.isnan(critical):
        said += f"No critical difference: {'the Friedman test finds no difference' if said else needs}."
    else:
        joined = " Thick lines join methods within one critical difference." * bool(cliques(order, critical))
        said += (
            f"Critical difference (Nemenyi, 0.05): {critical:.2f}; its power is low with few tasks.{joined}"
        )
    return Plot(
        kind="ranks",
        subject=(*setting, encoder),
        name=text.slug("ranks", encoder, *setting),
        title=f"{encoder}: average ranks over {tasks} tasks",
        caption="1 is best; ranks of mean scores, averaged over label budgets, then over tasks (n = "
        f"{tasks} tasks). {said} {_setting(setting)}",
        looks={name: style[name] for _, name in order},
        panels=[("", (order, critical))],
        encoder=encoder,
    )


def cliques(order: Sequence[tuple[float, str]], critical: float) -> list[tuple[float, float]]:
    """Return the widest ranges of average ranks within one critical difference that hold several methods.

    >>> cliques([(1.0, "a"), (1.5, "b"), (2.2, "c"), (4.0, "d")], 1.0)
    [(1.0, 1.5), (1.5, 2.2)]
    """
    kept: list[tuple[float, float]] = []
    for low, _ in sorted(order):
        high = max(rank for rank, _ in order if rank - low <= critical)
        if high > low and (not kept or high > kept[-1][1]):
            kept.append((low, high))
    return kept


# ---- drawing


def draw_all(found: Sequence[Plot], folder: Path) -> list[Path]:
    """Draw what is not there yet, and remove what an earlier report left there.

    Args:
        found: the figures; their names differ.
        folder: gets two files for each and an index.

    Returns:
        The files.

    Raises:
        DataError: the folder cannot be written.
    """
    before = _read_index(folder)
    digests = {plot.name: plot.digest() for plot in found}
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in before.keys() - digests.keys():
            for kind in ("png", "svg"):
                (folder / f"{name}.{kind}").unlink(missing_ok=True)
    for plot in found:
        if before.get(plot.name) != [digests[plot.name], _content(plot, folder)]:
            draw(plot, folder)
    index = {plot.name: [digests[plot.name], _content(plot, folder)] for plot in found}
    write_atomic(folder / INDEX, json.dumps(index, indent=1))
    return [folder / name for plot in found for name in plot.files]


def _content(plot: Plot, folder: Path) -> str:
    """Return a digest of the files of a figure, "" where one is missing."""
    paths = [folder / name for name in plot.files]
    return sha256_text(" ".join(map(sha256_file, paths))) if all(p.is_file() for p in paths) else ""


def _read_index(folder: Path) -> dict[str, Any]:
    """Return what has been drawn before; nothing where there is no index or it is damaged."""
    try:
        found = json.loads((folder / INDEX).read_text())
    except (OSError, ValueError):
        return {}
    names = found if isinstance(found, dict) else {}
    return {name: entry for name, entry in names.items() if Path(name).name == name}  # none elsewhere


def draw(plot: Plot, folder: Path) -> None:
    """Draw the two files of a figure; the same figure gives the same bytes.

    Raises:
        DataError: the folder cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    with mpl.rc_context(RC), writing(folder):
        figure = render(plot)
        png, svg = (folder / name for name in plot.files)
        canvas: Any = FigureCanvasAgg(figure)  # whose methods draw once, unlike `savefig`
        stream = BytesIO()  # files appear whole: another report may read them
        canvas.print_png(stream, metadata={"Software": None})
        write_atomic(png, stream.getvalue(), durable=False)
        figure.set_layout_engine("none")  # it has been laid out
        canvas = FigureCanvasSVG(figure)
        stream = BytesIO()
        canvas.print_svg(stream, metadata={"Date": None})
        write_atomic(svg, stream.getvalue(), durable=False)


def render(plot: Plot) -> Figure:
    """Return the figure of a plot; the settings `RC` have to hold."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.lines import Line2D

    columns = {1: 1, 2: 2, 4: 2}.get(len(plot.panels), 3)
    rows = math.ceil(len(plot.panels) / columns)
    wide = PAGE if len(plot.panels) > 1 or plot.kind == "ranks" or len(plot.looks) > CROWD else COLUMN
    caption = _wrap(plot.caption, wide * 72 - 24, 6)
    titled = _wrap(plot.title, (wide * 72 - 20) / 1.2, 8.5)
    listed = {_fit(name, wide * 72 - 60, 7): look for name, look in plot.looks.items()}
    widest = max((_width(name, 7) for name in listed), default=0) + 40
    in_row = max(1, int((wide * 72 - 10) / widest))
    ranked = plot.kind == "ranks"
    height = 0.3 + 0.16 * (3 + _depths(*plot.panels[0][1])[1]) if ranked else 2.1 * rows + 0.15
    said = 0.06 + 0.11 * len(caption)  # inches
    named = 0 if ranked else 0.06 + 0.15 * math.ceil(len(listed) / in_row)
    height += 0.13 * (len(titled) - 1)
    tall = height + said + named
    rect = (0, (said + named) / tall, 1, height / tall)
    figure = Figure(figsize=(wide, tall), dpi=DPI, layout=ConstrainedLayoutEngine(rect=rect))
    share = plot.kind != "convergence"
    axes = [*figure.subplots(rows, columns, sharey=share, squeeze=False).flat]
    for ax, (title, data) in zip(axes, plot.panels, strict=False):
        ax.set_title(_fit(title, wide * 72 / columns - 60, 8))
        ax.set_xlabel(plot.x)
        if ax.get_subplotspec().is_first_col():
            ax.set_ylabel("\n".join(_wrap(plot.y, 125, 7.5)))
        if plot.ticks:
            places, labels = zip(*plot.ticks, strict=True)
            ax.set_xticks(places, labels)
        _DRAW[plot.kind](ax, data, plot)
    for ax, ends in zip(axes, plot.levels, strict=False):
        _draw_levels(ax, ends)
    for ax in axes[len(plot.panels) :]:
        ax.set_axis_off()
    figure.suptitle("\n".join(titled))
    words: Any = {"ha": "center", "va": "bottom", "fontsize": 6, "color": "#444444", "linespacing": 1.3}
    figure.text(0.5, 0.02 / tall, "\n".join(caption), in_layout=False, **words)
    if not ranked:
        lines = [Line2D([], [], **_line(look)) for look in listed.values()]
        shown = [f" {name}" if name.startswith("_") else name for name in listed]  # else it would be hidden
        place: Any = {"loc": "lower center", "bbox_to_anchor": (0.5, said / tall), "borderaxespad": 0}
        legend = figure.legend(lines, shown, ncols=min(in_row, len(lines)), handlelength=3, **place)
        legend.set_in_layout(False)  # its room has been kept
    return figure


def _line(look: Look, *, joined: bool = True) -> dict[str, Any]:
    size = 7 if look.marker == "*" else 5.5 if look.marker in "PXd" else 4.5  # looks alike
    return {
        "color": look.colour, "marker": look.marker, "linestyle": look.dash if joined else "none",
        "markersize": size, "markeredgecolor": "white",
    }  # fmt: skip


def _point(ax: Axes, at: tuple[float, float, float, float], look: Look, colour: str) -> None:
    """Draw x, a mean, and the bar of its interval where there is one."""
    x, mean, low, high = at
    if math.isfinite(low) and math.isfinite(high):
        ax.vlines(x, low, high, color=colour, linewidth=0.9)
    ax.plot([x], [mean], **_line(look, joined=False))


def _draw_levels(ax: Axes, ends: tuple[float, float]) -> None:
    """Draw floor and ceiling where they lie in the range of the data, which they never stretch."""
    low, high = ax.get_ylim()
    for name, level in zip(("floor", "ceiling"), ends, strict=True):
        if min(low, high) <= level <= max(low, high):
            ax.axhline(level, color=PALE, linestyle=(0, (4, 2)), linewidth=0.8, zorder=1, label=name)
            place: Any = {"xytext": (-1, 1), "textcoords": "offset points", "ha": "right", "va": "bottom"}
            at: Any = ax.get_yaxis_transform()
            ax.annotate(name, (1, level), xycoords=at, fontsize=5.5, color=PALE, **place)
    ax.set_ylim(low, high)


def _draw_efficiency(ax: Axes, data: Sequence[tuple[Any, ...]], plot: Plot) -> None:
    names = sorted({name for name, *_ in data}, key=_scratch_first)
    places = [place for place, _ in plot.ticks]
    span, few = 2 * places[-1] / places[0], len(names) <= CROWD
    for i, name in enumerate(names):
        x, mean, low, high = np.array([row[1:] for row in data if row[0] == name], dtype=float).T
        x = x * span ** (0.012 * (2 * i / max(1, len(names) - 1) - 1))  # so that intervals stay apart
        colour = plot.looks[name].colour
        if np.isfinite(low).any():
            ax.fill_between(x, low, high, color=colour, alpha=0.12 if few else 0.04, linewidth=0)
            ax.vlines(x, low, high, color=colour, linewidth=0.9)
        ax.plot(x, mean, **_line(plot.looks[name]))
    ax.set_xscale("log")
    ax.set_xlim(places[0] / 1.3, places[-1] * 1.3)
    kept = _apart(plot.ticks, 150)  # points, of the narrowest panels
    ax.set_xticks([place for place, _ in kept], [label for _, label in kept])
    ax.set_xticks([], minor=True)


def _apart(ticks: Sequence[tuple[float, str]], width: float) -> list[tuple[float, str]]:
    """Leave out labels of a log axis of this width in points that would touch; the ends come first."""
    low, high = math.log(ticks[0][0] / 1.3), math.log(ticks[-1][0] * 1.3)
    kept: list[tuple[float, str]] = []
    for place, label in (ticks[-1], ticks[0], *ticks[1:-1]):
        near = (
            abs(math.log(place / p)) / (high - low) * width - (_width(label, 7) + _width(w, 7)) / 2
            for p, w in kept
        )
        if all(gap > 4 for gap in near):
            kept.append((place, label))
    return sorted(kept)


def _draw_convergence(ax: Axes, data: Sequence[tuple[Any, ...]], plot: Plot) -> None:
    few = len(data) <= CROWD
    for i, (name, seeds, x, mean, low, high) in enumerate(data):
        if seeds > 1:
            alpha, colour = 0.15 if few else 0.06, plot.looks[name].colour
            ax.fill_between(x, low, high, color=colour, alpha=alpha, linewidth=0)
        every = max(1, len(x) // 5)
        ax.plot(x, mean, markevery=(i % every, every), **_line(plot.looks[name]))
    ax.set_xlim(0, 103)


def _draw_differences(ax: Axes, data: Sequence[tuple[Any, ...]], plot: Plot) -> None:
    names = list(dict.fromkeys(name for name, *_ in data))
    wide = 0.8 / len(names)
    for name, place, mean, low, high, verdict in data:
        x = place - 0.4 + wide * (names.index(name) + 0.5)
        alpha = 0.2 if verdict == "tie" else 0.6
        ax.bar(x, mean, 0.88 * wide, color=plot.looks[name].colour, alpha=alpha, linewidth=0)
        _point(ax, (x, mean, low, high), plot.looks[name], INK)
    ax.axhline(0, color=INK, linewidth=0.6)
    ax.set_xlim(-0.5, len(plot.ticks) - 0.5)
    ax.grid(visible=False, axis="x")


def _draw_cost(ax: Axes, data: Sequence[tuple[Any, ...]], plot: Plot) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator

    steps = sorted((hours, mean) for _, hours, mean, _, _, on in data if on)
    if len(steps) > 1:
        ax.step(*zip(*steps, strict=True), where="post", color=PALE, linestyle="--", linewidth=0.9, zorder=1)
    for name, hours, mean, low, high, _ in data:
        _point(ax, (hours, mean, low, high), plot.looks[name], plot.looks[name].colour)
    least, most = min(row[1] for row in data), max(row[1] for row in data)
    spare = max(1.3, math.sqrt(6.3 * least / most))  # so that two of 1, 2, 5 times 10 to any power fit
    ax.set_xscale("log")
    ax.set_xlim(least / spare, most * spare)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if most / least < 300 else LogLocator(numticks=6))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    ax.set_xticks([], minor=True)


def _depths(order: Sequence[tuple[float, str]], critical: float) -> tuple[float, float]:
    """Return how far below the axis of a rank diagram the first leader is, and the end, in lines."""
    spans = [] if math.isnan(critical) else cliques(order, critical)
    first = 1 + 0.4 * max(0, len(spans) - 1)  # below the lines that join methods
    return first, first + (len(order) + 1) // 2 - 0.5


def _draw_ranks(ax: Axes, data: tuple[Sequence[tuple[float, str]], float], plot: Plot) -> None:
    order, critical = data
    count, half = len(order), (len(order) + 1) // 2
    first, last = _depths(order, critical)
    away = 0.03 * max(1, count - 1)
    for i, (rank, name) in enumerate(order):  # the better half to the left, the others to the right
        depth = -first - (i if i < half else count - 1 - i)
        edge, gap, side = (1 - away, -0.5 * away, "right") if i < half else (count + away, 0.5 * away, "left")
        ax.plot([rank, rank, edge], [0, depth, depth], color=PALE, linewidth=0.7, clip_on=False, zorder=1)
        ax.plot([rank, edge], [0, depth], clip_on=False, **_line(plot.looks[name], joined=False))
        ax.text(edge + gap, depth, f"{_fit(name, 110, 7)} ({rank:.2f})", ha=side, va="center")
    if not math.isnan(critical):
        for i, (low, high) in enumerate(cliques(order, critical)):
            ax.hlines(-0.4 - 0.4 * i, low - 0.04, high + 0.04, color=INK, linewidth=2.2)
        ax.hlines(1.8, 1, 1 + critical, color=INK, linewidth=1.5, clip_on=False)
        ax.text(1 + critical / 2, 2, f"CD = {critical:.2f}", ha="center", va="bottom")
    ax.set_xlim(1, max(2, count))
    ax.set_ylim(-last, 3)
    ax.set_xticks(range(1, count + 1))
    ax.spines[:].set_visible(False)
    ax.spines["top"].set(visible=True, position=("data", 0))
    ax.xaxis.set_ticks_position("top")
    ax.yaxis.set_visible(False)
    ax.grid(visible=False)


_DRAW = {
    "convergence": _draw_convergence,
    "cost": _draw_cost,
    "differences": _draw_differences,
    "efficiency": _draw_efficiency,
    "ranks": _draw_ranks,
}

# ---- words


def _drawable(words: str) -> str:
    """Return a text on one line, with `?` for what the font lacks."""
    font = _font()
    return "".join(c if font.get_char_index(ord(c)) else "?" for c in text.plain(words))


@cache
def _font() -> Any:
    from matplotlib.font_manager import findfont, get_font

    return get_font(findfont("DejaVu Sans"))


def _width(words: str, size: float) -> float:
    """Return how wide a drawable text is, in points."""
    font = _font()
    font.set_size(size, 72)
    font.set_text(words)
    return float(font.get_width_height()[0]) / 64


def _fit(words: str, width: float, size: float) -> str:
    """Return a drawable text, cut to a width in points."""
    words = _drawable(words)
    if _width(words, size) <= width:
        return words
    while words and _width(f"{words}…", size) > width:
        words = words[:-1]
    return f"{words.rstrip()}…"


def _wrap(words: str, width: float, size: float) -> list[str]:
    lines = [""]
    for word in (_fit(word, width, size) for word in words.split()):
        longer = f"{lines[-1]} {word}".lstrip()
        if _width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
