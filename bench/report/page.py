"""The leaderboard as one HTML page that needs nothing beside it.

The page holds `leaderboard.json` as it is. Its sections are the tables of `tables`, its sheets what opens
behind their numbers; the script shows both and words nothing. A content security policy forbids all requests;
the only script and style that run are those whose hashes it names.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from bench.files import canonical
from bench.grid.overrides import leaves
from bench.report import overview, tables, text
from bench.report.budget import parse
from bench.report.figures import Plot, looks
from bench.report.leaderboard import Summaries, Task
from bench.report.lineage import Lineage
from bench.report.published import PublishedTable
from bench.report.records import SETTING, TABLE, Floats, grouped, provenance, tuples
from bench.report.tables import Table

PICTURES = 3_000_000  # characters of all figures in the page together; others are linked
ZOOM = 1.6  # CSS pixels per point, so that 7 pt in a figure are about as large as the page's small print
_RARE = re.compile(r"[^\n -;=-~]")
_SIZE = re.compile(r'<svg [^>]*?width="([\d.]+)pt" height="([\d.]+)pt"')

Lines = Sequence[tuple[str, str]]  # names and values


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What unfolds below a heading."""

    id: str
    title: str
    gist: str = ""  # beside the title
    facets: Mapping[str, Sequence[str]] = field(default_factory=dict)  # what it shows, by filter
    said: Sequence[str] = ()  # above the tables
    tables: Sequence[Table] = ()
    incomplete: Sequence[tuple[str, str, str]] = ()  # encoder, method, what it lacks
    lines: Sequence[str] = ()
    figures: Sequence[int] = ()
    facts: Lines = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What opens behind a number."""

    title: str
    place: str
    said: str  # the setting
    facts: Lines
    runs: Sequence[str]
    values: Sequence[Sequence[str]]  # a name, and one text per run
    curves: Sequence[tuple[str, str, str]]  # name, record key and method of each
    metric: str  # of the curves
    keys: Sequence[str] = ()  # of records that are shown in full
    links: Lines = ()  # titles and keys of other sheets


def additions(
    found: Summaries,
    published: Sequence[PublishedTable],
    blocks: Sequence[overview.Block],
    plots: Sequence[Plot],
    lineage: Lineage,
) -> dict[str, Any]:
    """Return what `leaderboard.json` holds besides the summaries.

    Args:
        found: what to show.
        published: numbers of the papers.
        blocks: of the overview.
        plots: all figures.
        lineage: the steps behind the records.
    """
    names = [*found.cells["name"], *found.over_tasks["method"]]
    return {
        "overview": blocks,
        "overview_note": overview.NOTE,
        "filters": _filters(found),
        "sections": [*_sections(found, published, plots)],
        "sheets": {key: sheet for task in found.tasks for key, sheet in _sheets(task)},
        "figures": [_figure(plot) for plot in plots],
        "colours": {name: look.colour for name, look in looks(names).items()},
        **records(found.runs, found.details, found.curves, lineage),
    }


def _figure(plot: Plot) -> dict[str, Any]:
    names = (*SETTING, "encoder") if plot.kind == "ranks" else TABLE
    subject = dict(zip(names, plot.subject, strict=True))
    named = {"title": plot.title, "caption": plot.caption, "encoder": plot.encoder}
    return {"file": f"plots/{plot.name}.svg", **named, "subject": subject}


def _filters(found: Summaries) -> dict[str, list[tuple[str, str]]]:
    """Return the choices of each filter: value and title; of the setting only what there is to choose."""
    primary = found.cells[found.cells["primary"]]
    shares = sorted(set(map(parse, primary["fraction"])))
    return {
        "task": [(name, name) for name in sorted(set(primary["task"]))],
        "share": [(b.label, b.header) for b in shares],
        "encoder": [(name, name) for name in sorted(set(primary["encoder"]))],
        **{n: [(v, v) for v in primary[n].unique()] for n in SETTING if primary[n].nunique() > 1},
    }


def _sections(
    found: Summaries, published: Sequence[PublishedTable], plots: Sequence[Plot]
) -> Iterator[Section]:
    for i, task in enumerate(found.tasks, 1):
        yield _task(f"t{i}", task, plots)
    for i, part in enumerate(found.overall, 1):
        yield Section(
            id=f"s{i}",
            title=f"Over tasks: {part.encoder}",
            facets=tables.facets(part.key) | {"encoder": [part.encoder]},
            said=[tables.setting(part.key)],
            tables=tables.over_tasks(part),
            lines=tables.not_over_tasks(part),
            figures=_places(plots, (*part.setting, part.encoder)),
        )
    yield Section(id="cost", title="Cost", tables=tables.costs(found.costs))
    if published:
        papers = [tables.published(table) for table in published]
        yield Section(id="published", title=tables.NOT_COMPARABLE, said=[tables.PUBLISHED], tables=papers)
    if found.problems:
        yield Section(id="problems", title=f"Problems ({len(found.problems)})", lines=found.problems)


def _places(plots: Sequence[Plot], subject: tuple[Any, ...]) -> list[int]:
    return [i for i, plot in enumerate(plots) if plot.subject == subject]


def _task(name: str, task: Task, plots: Sequence[Plot]) -> Section:
    largest = task.budgets[-1]
    best = [
        f"{cell.name} {text.number(cell.mean, cell.unit)} ({cell.encoder})"
        for cell in task.primary_cells
        if cell.best and cell.fraction == largest.label
    ]
    facts = provenance(task.runs)
    return Section(
        id=name,
        title=task.title,
        gist=f"best at {largest.header}: {', '.join(best)}" if best else "",
        facets=tables.facets(task.key) | {"share": [b.label for b in task.budgets]},
        said=[f"{tables.setting(task.key)} {tables.metric(task.key)}"],
        tables=tables.of_task(task),
        incomplete=tables.incomplete(task),
        lines=[line for line in (tables.no_differences(task),) if line],
        figures=_places(plots, tuple(task.key.values())),
        facts=[(name, ", ".join(values)) for name, values in facts.items() if values],
    )


def _sheets(task: Task) -> Iterator[tuple[str, Sheet]]:
    """Yield what opens behind the cells and the differences of a task, by `Entry.sheet`."""
    cells = {(c.encoder, c.name, c.fraction): c for c in task.primary_cells}
    metrics = grouped(tuples(task.cells), "encoder", "name", "fraction")
    for place, cell in cells.items():
        yield cell.keys[0], _cell_sheet(task, cell, metrics[place])
    for d in tuples(task.differences[task.differences["against"] == "reference"]):
        both = [cells[d.encoder, name, d.fraction] for name in (d.method, d.reference)]
        yield f"{both[0].keys[0]} {both[1].keys[0]}", _difference_sheet(task, d, *both)


def _common(task: Task, cell: Any) -> dict[str, Any]:
    return {
        "place": f"{task.title}, {cell.encoder}, {parse(cell.fraction).header}",
        "said": tables.setting(task.key),
        "metric": f"validation {task.key['metric']} ({text.unit_name(task.key['unit'])})",
    }


def _run(seed: int, subset: int) -> str:
    return f"seed {seed}, subset {subset}" if subset else f"seed {seed}"


def _runs(cell: Any) -> list[str]:
    return [_run(*run) for run in zip(cell.seeds, cell.subsets, strict=True)]


def _cell_sheet(task: Task, cell: Any, metrics: Sequence[Any]) -> Sheet:
    def number(value: float, more: int = 0) -> str:
        return text.number(value, cell.unit, more)

    facts = [
        ("mean", tables.mean_text(cell)),
        ("interval", _interval(cell)),
        ("n", text.count(cell.n, "run")),
    ]
    if cell.n > 1:
        facts.append(("smallest to largest run", f"{number(cell.minimum)} to {number(cell.maximum)}"))
        facts.append(("standard deviation over runs", number(cell.sd, 1)))
    if cell.t_low == cell.t_low:
        facts.append(("95 % t interval over runs alone", f"{number(cell.t_low)} to {number(cell.t_high)}"))
    if cell.stride_mean == cell.stride_mean:
        facts.append(("mean on the stride subset", number(cell.stride_mean)))
    runs = _runs(cell)
    values = [
        [
            f"{m.metric} ({text.unit_name(m.unit)} {'↑' if m.higher_is_better else '↓'})",
            *(text.number(value, m.unit, 2) for value in (*m.values, m.mean)),
        ]
        for m in metrics
    ]
    curves = [(run, key, cell.name) for run, key in zip(runs, cell.keys, strict=True)]
    return Sheet(
        title=cell.name, facts=facts, runs=[*runs, "mean"], values=values, curves=curves, keys=cell.keys,
        **_common(task, cell),
    )  # fmt: skip


def _interval(row: Any) -> str:
    return f"95 %, over {row.kind}" if row.low == row.low else "none"


def _difference_sheet(task: Task, d: Any, a: Any, b: Any) -> Sheet:
    values = [dict(zip(_runs(cell), cell.values, strict=True)) for cell in (a, b)]
    runs = [run for run in values[0] if run in values[1]]
    facts = [
        ("difference", tables.difference_text(d)),
        ("interval", _interval(d)),
        ("n", text.count(d.n, "common run")),
        (
            "verdict",
            d.verdict if d.p != d.p else f"{d.verdict} ({text.p_value(d.p_holm)} after Holm's correction)",
        ),
    ]
    shown = [
        [cell.name, *(text.number(own[run], d.unit, 2) for run in runs)]
        for cell, own in zip((a, b), values, strict=True)
    ]
    shown.append(["difference", *(text.signed(values[0][r] - values[1][r], d.unit, 2) for r in runs)])
    return Sheet(
        title=f"{a.name} minus {b.name}",
        facts=facts,
        runs=runs,
        values=shown,
        curves=[
            (f"{cell.name}, {run}", key, cell.name)
            for cell in (a, b)
            for run, key in zip(_runs(cell), cell.keys, strict=True)
        ],
        links=[(f"Record of {cell.name}", cell.keys[0]) for cell in (a, b)],
        **_common(task, a),
    )


def records(
    runs: pd.DataFrame,
    details: Mapping[str, Mapping[str, Any]],
    curves: Mapping[str, Floats],
    lineage: Lineage,
) -> dict[str, Any]:
    """Return what sheets show of every record: `records` by key, and the configurations that they share.

    Args:
        runs: one row per record.
        details: by record key, `selection`, `manifests`, `inputs`, `provenance` and `spec` as it holds them.
        curves: by record key, (P, 2): fine-tuning progress and the validation metric.
        lineage: the steps behind.

    Returns:
        `records` and `specs`. A record's `steps` are [title, key, seed, number of its configuration].
    """
    pool: dict[str, int] = {}
    specs: list[dict[str, Any]] = []

    def step(title: str, key: str, spec: Mapping[str, Any]) -> list[Any]:
        flat = {name: value for name, value in leaves(spec) if name != "seed"}
        number = pool.setdefault(canonical(flat), len(specs))
        if number == len(specs):
            specs.append(flat)
        return [title, key, spec.get("seed"), number]

    found = {}
    for run in tuples(runs):
        own = details.get(run.key, {})
        inputs = [str(before) for before in own.get("inputs", ())]
        curve = curves.get(run.key)
        found[run.key] = {
            "about": _about(run, own, inputs),
            "curve": None if curve is None else [[float(f"{v:.4g}") for v in column] for column in curve.T],
            "steps": [
                step("score", run.key, own.get("spec", {})),
                *(step(a.title, a.key, a.spec) for a in lineage.ancestors(inputs)),
            ],
        }
    return {"records": found, "specs": specs}


def _about(run: Any, own: Mapping[str, Any], inputs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return what is known of a record, in groups, by name."""
    selection = {f"checkpoint: {name}": value for name, value in leaves(own.get("selection", {}))}
    manifests = {
        name: f"{m.get('n')} samples, sha256 {str(m.get('sha256'))[:16]}"
        for name, m in own.get("manifests", {}).items()
    }
    waiting = "-" if run.data_wait_share != run.data_wait_share else f"{100 * run.data_wait_share:.0f} %"
    return {
        "Run": {
            "record key": run.key,
            "computed from": ", ".join(inputs),
            "overrides of the method": run.config or "none",
            "init": run.init,
            "pretraining data": run.pretrain_data,
            "uses beyond colour pictures": text.known(run.uses),
            "pretraining seed": run.pretrain_seed if run.pretrain_seed >= 0 else text.known(""),
            "backbone": run.backbone,
            "modality of the task": run.modality,
            "modality of the encoder": run.encoder_modality,
            "test data seen in pretraining": run.exposure,
            **selection,
        },
        "Data": {
            **manifests,
            "test units": f"{run.n_units} ({text.known(run.interval_unit)})",
            "bootstrap resamples": run.n_replicates,
        },
        "Cost": {
            "time of the cell": text.duration(run.wall_s),
            "of which training": text.duration(run.train_wall_s),
            "samples seen": text.amount(run.samples_seen),
            "samples/s": text.amount(run.samples_per_s),
            "share of time waiting for data": waiting,
            "peak memory": text.memory(run.peak_memory_mb),
            "pretraining device time": text.duration(run.pretrain_device_s),
            "pretraining images read": text.amount(run.pretrain_samples_seen),
            "pretraining forward passes": text.amount(run.pretrain_forward_passes),
        },
        "Provenance": dict(leaves(own.get("provenance", {}))),
    }


def samples(
    tasks: Sequence[Task], draw: Callable[[Sequence[str]], tuple[dict[str, bytes], list[str]]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return sheets of test samples for `render`, and lines about those that cannot be made.

    Args:
        tasks: the tables; each row has the sheet of its first run at the largest budget of its table.
        draw: makes JPEGs by record key.
    """
    shown = {
        cell.keys[0]: (task, cell)
        for task in tasks
        for cell in task.primary_cells
        if cell.fraction == task.budgets[-1].label
    }
    made, problems = draw(list(shown))
    found = [
        {
            "task": f"{task.title} (protocol {task.key['protocol']})",
            "title": f"{cell.name}, {cell.encoder}, {task.budgets[-1].header}",
            "source": f"data:image/jpeg;base64,{base64.b64encode(made[key]).decode()}",
        }
        for key, (task, cell) in shown.items()
        if key in made
    ]
    return found, problems


def render(
    data: str,
    figures: Sequence[Mapping[str, Any]],
    folder: Path,
    pictures: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return the HTML; the same data and figures give the same text.

    Args:
        data: `leaderboard.json`.
        figures: as it lists them.
        folder: where the paths of figures begin.
        pictures: of test samples, see `samples`.
    """
    css, script, template = (
        resources.files("bench.report").joinpath(f"page.{kind}").read_text(encoding="utf-8")
        for kind in ("css", "js", "html")
    )
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    return environment.from_string(template).render(
        css=Markup(css),
        script=Markup(script),
        policy=_policy(css, script),
        pictures=_pictures(figures, folder),
        samples=pictures,
        data=Markup(_RARE.sub(_escaped, data)),
    )


def _escaped(match: re.Match[str]) -> str:
    """Return a character as JSON escapes it where it could end the element or is none of HTML's."""
    found = match[0]
    return "\\u003c" if found == "<" else found if found.isprintable() else json.dumps(found)[1:-1]


def _policy(css: str, script: str) -> str:
    """Return the content security policy: nothing may be requested, nothing else may run."""
    styles, scripts = (
        base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (css, script)
    )
    return (
        f"default-src 'none'; style-src 'sha256-{styles}'; script-src 'sha256-{scripts}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _pictures(figures: Sequence[Mapping[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Return the figures that fit into the page; those of all encoders get their place first."""
    found, used = [], 0
    for number in sorted(range(len(figures)), key=lambda i: (figures[i]["encoder"] != "", i)):
        figure = figures[number]
        raw = (folder / figure["file"]).read_bytes()
        size = _SIZE.search(raw[:2000].decode(errors="replace"))
        if not size:
            raise ValueError(f"{figure['file']} does not tell its size in points")
        source = f"data:image/svg+xml;base64,{base64.b64encode(raw).decode()}"
        if used + len(source) <= PICTURES:
            used += len(source)
            width, height = (round(float(points) * ZOOM) for points in size.groups())
            alt = text.plain(f"{figure['title']}. {figure['caption']}")
            found.append({"number": number, "source": source, "width": width, "height": height, "alt": alt})
    return found
