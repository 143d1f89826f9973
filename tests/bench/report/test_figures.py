from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from bench.errors import DataError
from bench.report import figures
from bench.report.figures import COLOURS, RC, Plot, draw_all, looks, plots, render

TINY = Path(__file__).resolve().parents[3] / "leaderboards" / "tiny"
KINDS = {"convergence", "cost", "differences", "efficiency", "ranks"}
TABLE = {
    "preset": "tiny", "track": "controlled", "mode": "strict", "protocol": "1", "task": "parts",
    "dataset": "people", "metric": "miou", "unit": "%", "higher_is_better": True, "minimum_effect": 0.5,
    "test_set": "a/person/16", "encoder": "resnet10",
}  # fmt: skip
EMPTY = pd.DataFrame()


def cells(means: dict[str, dict[str, float]], **changes: Any) -> pd.DataFrame:
    """Return cells of methods by label share; intervals reach 2 to both sides."""
    rows = [
        {
            **TABLE, "name": name, "fraction": fraction, "primary": True, "n": 3, "mean": mean,
            "low": mean - 2, "high": mean + 2, "kind": "seeds and test units", "complete": True,
            "keys": [f"{name} {fraction} {seed}" for seed in range(3)], **changes,
        }
        for name, by_fraction in means.items()
        for fraction, mean in by_fraction.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def difference(
    method: str, value: float, verdict: str, fraction: str = "1", **changes: Any
) -> dict[str, Any]:
    return {
        **TABLE, "method": method, "reference": "scratch", "against": "reference", "fraction": fraction,
        "n": 3,
        "difference": value, "low": value - 1, "high": value + 1, "verdict": verdict, **changes,
    }  # fmt: skip


def point(method: str, hours: float | None, mean: float, on_front: bool, **changes: Any) -> dict[str, Any]:
    return {
        **TABLE, "method": method, "fraction": "1", "n": 3, "mean": mean, "low": mean - 1, "high": mean + 1,
        "device_hours": hours, "front_device_hours": on_front, **changes,
    }  # fmt: skip


def ranked(
    averages: dict[str, float], critical: float | None, p: float | None, tasks: int = 9
) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                **TABLE, "method": name, "n_tasks": tasks, "average_rank": rank, "friedman_p": p,
                "critical_difference": critical,
            }
            for name, rank in averages.items()
        ]
    ).astype({"critical_difference": float, "friedman_p": float, "average_rank": float})  # fmt: skip


BOTH = cells({"scratch": {"1/10": 20.0, "1": 30.0}, "cmc": {"1/10": 25.0, "1": 31.0}})


def one(kind: str, *frames: pd.DataFrame, **options: Any) -> Plot:
    """Return the only figure of a kind."""
    given = [*frames, EMPTY, EMPTY, EMPTY][:4]
    (plot,) = [p for p in plots(*given, options.get("curves", {})) if p.kind == kind]
    return plot


@pytest.fixture
def shown() -> Iterator[Callable[[Plot], tuple[Figure, list[Axes]]]]:
    """Return a function that lays out a figure."""
    with mpl.rc_context(RC):

        def lay(plot: Plot) -> tuple[Figure, list[Axes]]:
            figure = render(plot)
            figure.draw_without_rendering()
            return figure, figure.axes[: len(plot.panels)]

        yield lay


Shown = Callable[[Plot], tuple[Figure, list[Axes]]]


@pytest.fixture(scope="module")
def tiny() -> list[Plot]:
    """The figures of the measured leaderboard, and ranks with a critical difference."""
    body = json.loads((TINY / "leaderboard.json").read_text())
    found = {
        name: pd.DataFrame([row for table in body["tables"] for row in table[name]])
        for name in ("cells", "differences", "cost_quality")
    }
    keys = [key for keys in found["cells"]["keys"] for key in keys]
    progress = np.arange(1, 9) / 8
    curves = {
        key: np.column_stack([progress, 0.1 * np.log1p(progress + i % 3)])
        for i, key in enumerate(sorted(set(keys)))
    }
    over = ranked({"scratch": 2.9, "cmc": 2.0, "hcmoco": 1.1}, 0.95, 0.001)
    return plots(found["cells"], found["differences"], found["cost_quality"], over, curves)


def test_a_report_has_figures_of_each_task_and_protocol(tiny: list[Plot]) -> None:
    kinds = [plot.kind for plot in tiny]
    per_protocol = ["efficiency", "differences", "convergence", "cost"]
    assert kinds == [*per_protocol * 6, "ranks"]  # three tasks, two protocols
    assert len({plot.name for plot in tiny}) == len(tiny)
    assert {plot.encoder for plot in tiny if plot.kind == "convergence"} == {"resnet10_w24"}


def read(label: str) -> float:
    """Return the number that a label of a tick says."""
    return float(label.replace("−", "-").removesuffix("%"))


def test_every_label_says_where_its_tick_is(tiny: list[Plot], shown: Shown) -> None:
    seen = set()
    for plot in tiny:
        for ax in shown(plot)[1]:
            for axis in (ax.xaxis, ax.yaxis):
                low, high = sorted(axis.get_view_interval())
                named = plot.kind == "differences" and axis is ax.xaxis  # budgets, one beside the other
                ticks = [
                    t for t in axis.get_major_ticks() if low <= t.get_loc() <= high and t.label1.get_text()
                ]
                assert axis.get_offset_text().get_text() == ""
                for tick in ticks:
                    said, place = tick.label1.get_text(), tick.get_loc()
                    if named:
                        assert said == dict(plot.ticks)[place]
                    else:
                        percent = 100 if "%" in said else 1
                        assert read(said) == pytest.approx(percent * place, rel=1e-9, abs=1e-12)
                if axis.get_visible() and not named:
                    assert len(ticks) >= 2, (plot.name, axis.axis_name)
                seen.add((plot.kind, axis.axis_name))
    assert seen == {(kind, axis) for kind in KINDS for axis in "xy"}


@pytest.mark.parametrize(("low", "high"), [(0.008, 0.09), (0.011, 0.012), (1e-3, 1e5), (3.0, 3.0001)])
def test_axes_of_costs_have_two_labels_whatever_the_costs(low: float, high: float, shown: Shown) -> None:
    costs = pd.DataFrame([point("scratch", low, 30.0, True), point("cmc", high, 31.0, True)])
    ((ax,)) = shown(one("cost", BOTH, EMPTY, costs))[1]
    left, right = ax.get_xlim()
    places = [tick.get_loc() for tick in ax.xaxis.get_major_ticks() if left <= tick.get_loc() <= right]
    assert 2 <= len(places) <= 12
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert [read(w) for w, p in zip(labels, ax.get_xticks(), strict=True) if p in places] == pytest.approx(
        places
    )
    boxes = [t.label1.get_window_extent() for t in ax.xaxis.get_major_ticks() if t.get_loc() in places]
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))


def test_labels_of_close_budgets_never_touch(shown: Shown) -> None:
    many = {f"1/{n}": 20.0 + n for n in (100, 10, 3, 2)} | {"4/5": 31.0, "9/10": 31.0, "1": 32.0}
    ((ax,)) = shown(one("efficiency", cells({"scratch": many})))[1]
    boxes = [tick.label1.get_window_extent() for tick in ax.xaxis.get_major_ticks()]
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))
    words = [label.get_text() for label in ax.get_xticklabels()]
    assert (words[0], words[-1]) == ("1 %", "100 %") and len(words) < len(many)


def line(ax: Axes, colour: str) -> tuple[Any, Any]:
    """Return the points of the only line of a colour that has markers."""
    (found,) = [x for x in ax.lines if to_hex(x.get_color()) == colour.lower() and x.get_marker() != "None"]
    return found.get_xdata(), found.get_ydata()


def test_convergence_draws_the_mean_and_the_range_over_seeds(shown: Shown) -> None:
    progress = np.array([0.25, 0.5, 1.0])
    curves = {f"cmc 1 {i}": np.column_stack([progress, [1.0 + i, 2.0, 3.0 * i]]) for i in range(3)}
    plot = one("convergence", BOTH, curves=curves)
    assert [title for title, _ in plot.panels] == ["100 % labels"]
    ((ax,)) = shown(plot)[1]
    x, y = line(ax, looks(["cmc"])["cmc"].colour)
    assert (list(x), list(y)) == ([25, 50, 100], [2, 2, 3])
    (band,) = ax.collections
    corners = band.get_paths()[0].vertices
    assert (corners[:, 1].min(), corners[:, 1].max()) == (0, 6)
    assert "n = 3 seeds" in plot.caption and "bands: smallest to largest seed" in plot.caption
    alone = one("convergence", BOTH, curves={"cmc 1 0": curves["cmc 1 0"]})
    assert "n = 1 seed;" in alone.caption and "no bands" in alone.caption
    assert not shown(alone)[1][0].collections
    assert not [p for p in plots(BOTH, EMPTY, EMPTY, EMPTY, {}) if p.kind == "convergence"]


def test_efficiency_draws_means_and_intervals_on_a_log_axis(shown: Shown) -> None:
    plot = one("efficiency", BOTH)
    ((ax,)) = shown(plot)[1]
    assert ax.get_xscale() == "log" and [w.get_text() for w in ax.get_xticklabels()] == ["10 %", "100 %"]
    x, y = line(ax, looks(["cmc"])["cmc"].colour)
    assert x == pytest.approx([0.1, 1.0], rel=0.1)  # moved sideways a little
    assert list(y) == [25, 31]
    ends = [
        segment[:, 1] for c in ax.collections if hasattr(c, "get_segments") for segment in c.get_segments()
    ]
    assert {tuple(end) for end in ends} == {(18, 22), (28, 32), (23, 27), (29, 33)}
    assert (
        "n = 3 seeds; lines: mean over seeds; bands and bars: 95 % interval over seeds and test units"
        in plot.caption
    )
    bare = one("efficiency", BOTH.assign(low=np.nan, high=np.nan, kind="none"))
    assert "no intervals recorded" in bare.caption and not shown(bare)[1][0].collections


def test_shots_have_a_figure_of_their_own(shown: Shown) -> None:
    both = cells({n: {"shots=16": 5.0, "shots=32": 7.0, "1/10": 8.0, "1": 9.0} for n in ("scratch", "cmc")})
    paired = pd.DataFrame([difference("cmc", 1.0, "tie", b) for b in ("shots=16", "shots=32", "1/10", "1")])
    found = {plot.name: plot for plot in plots(both, paired, EMPTY, EMPTY, {})}
    where = "parts_people_tiny_controlled_strict_1"
    kinds = ("efficiency", "differences_scratch")
    assert set(found) == {f"{few}{kind}_{where}" for few in ("", "shots_") for kind in kinds}
    shots, bars = found[f"shots_efficiency_{where}"], found[f"shots_differences_scratch_{where}"]
    assert shots.ticks == [(16.0, "16"), (32.0, "32")] and shots.title == "parts, few-shot: data efficiency"
    assert [x for _, data in shots.panels for _, x, *_ in data] == [16.0, 16.0, 32.0, 32.0]
    ((ax,)) = shown(shots)[1]
    assert ax.get_xscale() == "log" and ax.get_xlabel() == "labelled examples per class (log scale)"
    assert bars.ticks == [(0.0, "16"), (1.0, "32")] and bars.x == "labelled examples per class"
    assert found[f"efficiency_{where}"].ticks == [(0.1, "10 %"), (1.0, "100 %")]


def test_incomplete_rows_and_the_number_of_seeds_are_named() -> None:
    lacking = cells({"mae": {"1": 40.0}}, complete=False, n=1)
    plot = one("efficiency", pd.concat([BOTH, lacking]))
    assert plot.caption.startswith("n = 1 to 3 seeds;")
    assert plot.caption.endswith(
        "Preset tiny, controlled track, strict mode, protocol 1. Incomplete: mae on resnet10."
    )


def test_bars_show_paired_differences_with_intervals(shown: Shown) -> None:
    rows = [
        difference("cmc", 5.0, "better"),
        difference("equal", -0.1, "tie"),
        difference("cmc", 3.0, "tie", "1/10"),
    ]
    three = cells({name: {"1/10": 20.0, "1": 30.0} for name in ("scratch", "cmc", "equal")})
    against_best = difference("scratch", -5.0, "worse", against="best")
    plot = one("differences", three, pd.DataFrame([*rows, against_best]))
    ((ax,)) = shown(plot)[1]
    boxes = list(ax.patches)
    assert [box.get_height() for box in boxes] == [5.0, -0.1, 3.0]
    assert [box.get_alpha() > 0.5 for box in boxes] == [True, False, False]
    spans = sorted((box.get_x(), box.get_x() + box.get_width()) for box in boxes)
    assert all(a[1] < b[0] for a, b in pairwise(spans))  # side by side
    assert [round(box.get_x() + box.get_width() / 2) for box in boxes] == [1, 1, 0]
    ends = [tuple(c.get_segments()[0][:, 1]) for c in ax.collections]
    assert ends == [(4, 6), (-1.1, 0.9), (2, 4)]
    assert list(plot.looks) == ["cmc", "equal"]
    assert (
        "up is better" in plot.caption and "p < 0.05 after Holm's correction and at least 0.5" in plot.caption
    )
    lower = {"unit": "mm", "metric": "mpjpe", "higher_is_better": False, "minimum_effect": 0.0}
    down = one("differences", three.assign(**lower), pd.DataFrame([rows[0] | lower]))
    assert "down is better" in down.caption and down.y == "difference in mpjpe (mm)"


def test_a_long_axis_label_takes_two_lines(shown: Shown) -> None:
    long = {"metric": "mean_average_precision"}
    plot = one("differences", BOTH.assign(**long), pd.DataFrame([difference("cmc", 5.0, "better", **long)]))
    ((ax,)) = shown(plot)[1]
    assert ax.get_ylabel() == "difference in\nmean_average_precision\n(%-points)"


def test_a_long_title_of_a_narrow_figure_takes_two_lines(shown: Shown) -> None:
    plot = one("efficiency", cells({"cmc": {"1": 50.0}}))
    low, high = (
        shown(replace(plot, title=title))[0] for title in ("parts", "parts of the body, of one " * 2)
    )
    assert high.get_suptitle().split("\n") == ["parts of the body, of one parts of the body,", "of one"]
    assert high.get_figheight() > low.get_figheight()


def test_the_front_is_a_staircase_of_undominated_means(shown: Shown) -> None:
    found = [("scratch", 1, 35, True), ("worse", 2, 32, False), ("cmc", 4, 40, True), ("mae", 10, 44, True)]
    costs = pd.DataFrame([point(*row) for row in found])
    four = cells({name: {"1": float(mean)} for name, _, mean, _ in found})
    ((ax,)) = shown(one("cost", four, EMPTY, costs))[1]
    (front,) = [x for x in ax.lines if x.get_linestyle() == "--" and x.get_marker() == "None"]
    assert front.get_drawstyle() == "steps-post"
    assert list(zip(*front.get_data(), strict=True)) == [(1, 35), (4, 40), (10, 44)]
    points = {(x.get_xdata()[0], x.get_ydata()[0]) for x in ax.lines if x is not front}
    assert points == {(hours, mean) for _, hours, mean, _ in found}
    unknown = pd.DataFrame([point("scratch", 1.0, 35.0, True), point("cmc", None, 40.0, False)])
    assert not [p for p in plots(four, EMPTY, unknown, EMPTY, {}) if p.kind == "cost"]


NAMES = {"hcmoco": 1.2, "mae": 1.9, "cmc": 3.1, "scratch": 4.0, "x" * 200: 4.8}


def test_every_method_stands_at_its_rank(shown: Shown) -> None:
    plot = one("ranks", BOTH, EMPTY, EMPTY, ranked(NAMES, 1.0, 0.001))
    figure, ((ax,)) = shown(plot)
    placed = {(to_hex(x.get_color()), x.get_xdata()[0]) for x in ax.lines if x.get_marker() != "None"}
    assert placed == {(plot.looks[name].colour.lower(), rank) for name, rank in NAMES.items()}
    words = [text.get_text() for text in ax.texts]
    for name, rank in NAMES.items():
        assert sum(word.startswith(name[:10]) and f"({rank:.2f})" in word for word in words) == 1
    box = figure.bbox
    assert all(box.x0 <= t.get_window_extent().x0 and t.get_window_extent().x1 <= box.x1 for t in ax.texts)
    thick = [tuple(s[:, 0]) for c in ax.collections if c.get_linewidth()[0] == 2.2 for s in c.get_segments()]
    assert np.array(thick) == pytest.approx(np.array([(1.16, 1.94), (3.06, 4.04), (3.96, 4.84)]))
    (bar,) = [s for c in ax.collections if c.get_linewidth()[0] == 1.5 for s in c.get_segments()]
    assert bar[1, 0] - bar[0, 0] == pytest.approx(1.0) and "CD = 1.00" in words
    assert "Thick lines join" in plot.caption and "n = 9 tasks" in plot.caption


def test_without_a_critical_difference_the_caption_says_why(shown: Shown) -> None:
    few = one("ranks", BOTH, EMPTY, EMPTY, ranked(NAMES, None, None, tasks=4))
    assert "No critical difference: it needs at least 3 methods and 5 tasks (here 5 and 4)." in few.caption
    alike = one("ranks", BOTH, EMPTY, EMPTY, ranked(NAMES, None, 0.3))
    assert "No critical difference: the Friedman test finds no difference." in alike.caption
    assert not [c for c in shown(alike)[1][0].collections if c.get_linewidth()[0] > 1]
    none = ranked(NAMES, None, None).assign(average_rank=np.nan)
    assert not [p for p in plots(BOTH, EMPTY, EMPTY, none, {}) if p.kind == "ranks"]


@pytest.mark.parametrize("encoders", [1, 2, 3, 4, 5, 7])
def test_places_without_a_panel_stay_empty(encoders: int, shown: Shown) -> None:
    every = pd.concat([BOTH.assign(encoder=f"encoder {i}") for i in range(encoders)])
    figure, axes = shown(one("efficiency", every))
    assert [ax.get_title() for ax in axes] == [f"encoder {i}" for i in range(encoders)]
    assert [ax.axison for ax in figure.axes] == [True] * encoders + [False] * (len(figure.axes) - encoders)


def test_tables_that_share_a_title_have_files_of_their_own() -> None:
    found = plots(pd.concat([BOTH, BOTH.assign(minimum_effect=1.0)]), EMPTY, EMPTY, EMPTY, {})
    assert len({plot.name for plot in found}) == len(found) == 2


# ---- looks

SHIPPED = [
    "imagenet", "cmc", "mmv", "hcmoco", "mae_body", "croco_body", "liftedcl", "moco_v2", "densecl", "pixpro",
    "keypoints", "mae_hand", "croco_hand", "keypoints_hand",
]  # fmt: skip
# linear RGB as seen without red or without green cones (Viénot, Brettel and Mollon 1999)
PROTAN = np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]])
DEUTAN = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def _lab(colour: str, vision: NDArray[np.float64]) -> NDArray[np.float64]:
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(np.maximum(TO_XYZ @ (vision @ linear) / TO_XYZ.sum(axis=1), 1e-9))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_colours_differ_for_all_common_kinds_of_vision() -> None:
    """CIE76 distances: 2.3 is just noticeable, above 10 is told apart at a glance."""
    for vision in (np.eye(3), PROTAN, DEUTAN):
        for a, b in combinations([*COLOURS, figures.GREY], 2):
            assert np.linalg.norm(_lab(a, vision) - _lab(b, vision)) > 10, (a, b)


def test_the_shipped_methods_have_colours_of_their_own_whatever_else_is_shown() -> None:
    alone = {name: looks([name])[name] for name in SHIPPED}
    together = looks([*SHIPPED, "scratch"])
    assert {name: together[name] for name in SHIPPED} == alone
    for part in ("colour", "marker"):
        assert len({getattr(look, part) for look in alone.values()}) == len(SHIPPED)


@given(st.lists(st.text(max_size=8), max_size=14, unique=True))
def test_fourteen_methods_never_share_a_colour(names: list[str]) -> None:
    colours = [look.colour for look in looks(names).values() if look.colour != figures.GREY]
    assert len(set(colours)) == len(colours)


@given(st.lists(st.text(max_size=8), max_size=90, unique=True))
def test_no_two_methods_look_alike(names: list[str]) -> None:
    found = looks([*names, "scratch", "scratch (large)", "scratch (small)"])
    assert len({(look.colour, look.marker) for look in found.values()}) == len(found)
    assert found == looks(reversed([*found]))
    grey = {name for name, look in found.items() if look.colour == figures.GREY}
    assert {"scratch", "scratch (large)", "scratch (small)"} <= grey
    assert all(name == "scratch" or name.startswith("scratch (") for name in grey)


# ---- files


def test_files_are_reproducible_and_hold_no_dates(tiny: list[Plot], tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    for kind in sorted(KINDS):
        plot = next(p for p in tiny if p.kind == kind)
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir(exist_ok=True)
            figures.draw(plot, tmp_path / folder)
        png, svg = (tmp_path / "a" / name for name in plot.files)
        assert [(tmp_path / "b" / name).read_bytes() for name in plot.files] == [
            png.read_bytes(),
            svg.read_bytes(),
        ]
        assert not re.search(r"20\d\d-\d\d-\d\d", svg.read_text())
        wide = float(ElementTree.parse(svg).getroot().attrib["width"].removesuffix("pt")) / 72
        assert wide == pytest.approx(3.4 if len(plot.panels) == 1 and kind != "ranks" else 7.0)
        image = Image.open(io.BytesIO(png.read_bytes())).convert("RGB")
        assert image.width == pytest.approx(wide * 200, abs=1)
        pixels = np.asarray(image)
        assert (
            (pixels[:, :2] == 255).all() and (pixels[:2] == 255).all() and pixels.min() < 100
        )  # nothing cut off
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    "name", ["$x_{$", "_hidden", "漢字\u202e", "W" * 200, "<b>&amp;", "a\nb", "scratch ($)", "../up"]
)
def test_any_name_can_be_drawn(name: str, tmp_path: Path) -> None:
    """Matplotlib warns of what it cannot draw, and warnings fail."""
    both = cells({"scratch": {"1": 3.0}, name: {"1": 4.0}}, encoder=name, task=name, metric=name)
    labels = {"encoder": name, "task": name, "metric": name}
    found = plots(
        both,
        pd.DataFrame([difference(name, 1.0, "better", **labels)]),
        pd.DataFrame([point("scratch", 1.0, 3.0, True, **labels), point(name, 2.0, 4.0, True, **labels)]),
        ranked({"scratch": 1.6, name: 1.4}, None, None).assign(encoder=name),
        {f"{name} 1 0": np.array([[0.5, 1.0], [1.0, 2.0]])},
    )
    assert {plot.kind for plot in found} == KINDS
    paths = draw_all(found, tmp_path / "a" / "b")
    assert {path for path in tmp_path.rglob("*.*g")} == set(paths)  # none elsewhere
    for path in paths:
        if path.suffix == ".svg":
            ElementTree.parse(path)
        else:
            assert (
                np.asarray(Image.open(path).convert("RGB"))[:, -2:] == 255
            ).all()  # nothing reaches the edge


def test_names_are_cut_and_what_the_font_lacks_is_a_question_mark(shown: Shown) -> None:
    both = cells({"scratch": {"1": 3.0}, "a漢b": {"1": 4.0}, "y" * 200: {"1": 5.0}, "_z": {"1": 6.0}})
    figure, _ = shown(one("efficiency", both))
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words[0] == "scratch" and {"a?b", " _z"} < set(words)
    assert len(next(word for word in words if word.startswith("yyy"))) < 100


@pytest.fixture
def two(tmp_path: Path) -> list[Plot]:
    return [one("efficiency", BOTH), one("efficiency", BOTH.assign(task="pose"))]


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.*g")}


def test_only_what_changed_or_was_damaged_is_drawn_again(two: list[Plot], tmp_path: Path) -> None:
    paths = draw_all(two, tmp_path)
    assert paths == [tmp_path / name for plot in two for name in plot.files]
    before, whole = times(tmp_path), {path: path.read_bytes() for path in paths}
    draw_all(two, tmp_path)
    assert times(tmp_path) == before
    paths[0].write_bytes(paths[0].read_bytes()[:-9])
    draw_all(two, tmp_path)
    changed = {name for name, time in times(tmp_path).items() if time != before[name]}
    assert changed == set(two[0].files)
    paths[3].unlink()
    draw_all(two, tmp_path)
    assert {path: path.read_bytes() for path in paths} == whole
    before = times(tmp_path)
    draw_all([replace(two[0], title="other"), two[1]], tmp_path)
    assert {name for name, time in times(tmp_path).items() if time != before[name]} == set(two[0].files)


@pytest.mark.parametrize("index", ["", "[]", "{", '{"../kept": ["a", "b"]}'])
def test_a_damaged_index_leads_to_drawing_and_removes_nothing_elsewhere(
    index: str, two: list[Plot], tmp_path: Path
) -> None:
    folder = tmp_path / "plots"
    draw_all(two, folder)
    (tmp_path / "kept.png").write_text("mine")
    (folder / figures.INDEX).write_text(index)
    before = times(folder)
    draw_all(two, folder)
    assert not set(before.items()) & set(times(folder).items())
    assert (tmp_path / "kept.png").read_text() == "mine"


def test_figures_of_an_earlier_report_are_removed_and_nothing_else(two: list[Plot], tmp_path: Path) -> None:
    draw_all(two, tmp_path)
    (tmp_path / "mine.png").write_text("mine")
    draw_all(two[:1], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*two[0].files, "mine.png", figures.INDEX}


def test_nothing_half_done_is_taken_for_done(two: list[Plot], tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="pie"):
        draw_all([two[0], replace(two[1], kind="pie")], tmp_path)
    (tmp_path / two[0].files[0]).unlink()
    assert all(path.is_file() for path in draw_all(two, tmp_path))


def test_a_folder_that_cannot_be_written_is_one_clear_line(two: list[Plot], tmp_path: Path) -> None:
    (tmp_path / "plots").write_text("a file")
    with pytest.raises(DataError, match=r"cannot write .*plots"):
        draw_all(two, tmp_path / "plots")
