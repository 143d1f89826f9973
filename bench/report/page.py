"""The leaderboard as one HTML page that needs nothing beside it.

The page holds `leaderboard.json` as it is, and its script builds every table from it. A content security
policy forbids all requests; the only script and style that run are those whose hashes it names.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from bench.files import canonical
from bench.grid.overrides import leaves
from bench.report import text
from bench.report.figures import Plot, looks
from bench.report.leaderboard import Task
from bench.report.lineage import Lineage
from bench.report.overview import Block
from bench.report.records import SETTING, TABLE

PICTURES = 3_000_000  # characters of all figures in the page together; others are linked
ZOOM = 1.6  # CSS pixels per point, so that 7 pt in a figure are about as large as the page's small print
_RARE = re.compile(r"[^\n -;=-~]")
_SIZE = re.compile(r'<svg [^>]*?width="([\d.]+)pt" height="([\d.]+)pt"')


def additions(
    blocks: Sequence[Block], plots: Sequence[Plot], runs: Mapping[str, Any], names: Sequence[str]
) -> dict[str, Any]:
    """Return what `leaderboard.json` holds besides its tables.

    Args:
        blocks: of the overview.
        plots: all figures.
        runs: of `records`.
        names: of all rows of tables and ranks.
    """
    figures = [
        {
            "file": f"plots/{plot.name}.svg",
            "title": plot.title,
            "caption": plot.caption,
            "encoder": plot.encoder,
            "subject": dict(
                zip((*SETTING, "encoder") if plot.kind == "ranks" else TABLE, plot.subject, strict=True)
            ),
        }
        for plot in plots
    ]
    return {
        "overview": [asdict(block) | {"title": block.title, "answer": block.answer} for block in blocks],
        "figures": figures,
        "colours": {name: look.colour for name, look in looks(names).items()},
        **runs,
    }


def records(
    facts: Mapping[str, Mapping[str, Any]],
    details: Mapping[str, Mapping[str, Any]],
    curves: Mapping[str, NDArray[np.float64]],
    lineage: Lineage,
) -> dict[str, Any]:
    """Return what opens behind every number: `records` by key, and the configurations that they share.

    Args:
        facts: by record key, its labels, costs and provenance, None where not recorded.
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
    for key, labels in facts.items():
        own = details.get(key, {})
        inputs = [str(before) for before in own.get("inputs", ())]
        curve = curves.get(key)
        found[key] = {
            **labels,
            "inputs": inputs,
            "selection": dict(leaves(own.get("selection", {}))),
            "manifests": own.get("manifests", {}),
            "made": own.get("provenance", {}),
            "curve": None if curve is None else [[float(f"{v:.4g}") for v in column] for column in curve.T],
            "steps": [
                step("score", key, own.get("spec", {})),
                *(step(a.title, a.key, a.spec) for a in lineage.ancestors(inputs)),
            ],
        }
    return {"records": found, "specs": specs}


def samples(
    tasks: Sequence[Task], draw: Callable[[Sequence[str]], tuple[dict[str, bytes], list[str]]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return sheets of test samples for `render`, and lines about those that cannot be made.

    Args:
        tasks: the tables; each row has the sheet of its first run at the largest label share.
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
    sheets: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return the HTML; the same data and figures give the same text.

    Args:
        data: `leaderboard.json`.
        figures: as it lists them.
        folder: where the paths of figures begin.
        sheets: of `samples`.
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
        sheets=sheets,
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
