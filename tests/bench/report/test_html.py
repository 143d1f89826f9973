"""The page as an independent parser reads it; `tests/browser` opens it in a real browser."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.report import text
from bench.report.analysis import analyse
from bench.report.frame import load
from bench.report.html import Content, Page
from bench.report.lineage import Lineage
from bench.report.notes import NOT_COMPARABLE
from bench.report.page.entries import Sources
from bench.report.published import published_tables
from bench.report.write import report

Make = Callable[..., Any]
Store = Callable[..., Path]

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "report" / "store"
SCORES = np.linspace(10, 60, 80)
STYLE = (Path(__file__).resolve().parents[3] / "bench/report/page/page.css").read_text()


def parse(page: str) -> Element:
    """Return the tree of a page; any parse error of the HTML standard fails."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    tree: Element = parser.parse(page)
    return tree


def render(root: Path) -> str:
    """Return the page of a store, without plots."""
    loaded = load(root)
    analysis = analyse(loaded)
    colours = {row.name: "#7A7A7A" for table in analysis.tables for row in table.rows}
    sources = Sources(details=loaded.details, curves={}, lineage=Lineage(root), colours=colours)
    published = published_tables(table.published for table in analysis.tables)
    content = Content(found=analysis, published=published, pictures={}, sources=sources)
    return Page(content).render(root)


def words(element: Element) -> str:
    """Return the text of an element on one line."""
    return " ".join("".join(element.itertext()).split())


def found(tree: Element, name: str, kind: str = "") -> list[Element]:
    """Return the elements of a name that have a class."""
    return [e for e in tree.iter(name) if not kind or kind in e.get("class", "").split()]


def island(tree: Element) -> Any:
    return json.loads(next(e for e in tree.iter("script") if e.get("id") == "records").text or "")


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the recorded store: two encoders, an incomplete row, marks, a damaged record."""
    out = tmp_path_factory.mktemp("out")
    report(GOLDEN, out, reference="cmc")
    return out / "leaderboard.html"


@pytest.fixture(scope="module")
def tree(golden: Path) -> Element:
    return parse(golden.read_text())


def test_nothing_is_requested_from_anywhere(tree: Element) -> None:
    addresses = [
        e.attrib[name] for e in tree.iter() for name in ("src", "href", "data", "action") if name in e.attrib
    ]
    assert sum(a.startswith("data:image/svg+xml") for a in addresses) == len(list(tree.iter("img"))) > 3
    assert {a.partition(",")[0].rstrip("0123456789") for a in addresses} <= {
        "data:", "data:image/svg+xml;base", "#t", "#s", "#main", "#cost", "#published", "#problems",
    }  # fmt: skip
    assert not [e for e in tree.iter() for name in e.attrib if name.startswith("on") or name == "style"]
    assert not re.search(r"url\(|@import|https?:", STYLE)


def test_the_policy_forbids_requests_and_names_the_only_style_and_script(tree: Element) -> None:
    policy = next(e.get("content") or "" for e in tree.iter("meta") if e.get("http-equiv"))
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    scripts = [e for e in tree.iter("script") if not e.get("type")]
    for rule, (element,) in (("style-src", found(tree, "style")), ("script-src", scripts)):
        digest = base64.b64encode(hashlib.sha256((element.text or "").encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"
    assert set(rules) == {
        "default-src", "style-src", "script-src", "img-src", "base-uri", "form-action",
    }  # fmt: skip


def test_the_page_is_made_for_readers_of_all_kinds(tree: Element) -> None:
    ids = [e.get("id") for e in tree.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    named = {e.get("aria-labelledby") for e in tree.iter() if e.get("aria-labelledby")} - {"record-title"}
    assert named <= set(ids) and named
    assert next(tree.iter("html")).get("lang") == "en"
    levels = [int(e.tag[1]) for e in tree.iter() if e.tag in ("h1", "h2", "h3")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))
    labelled = {control for label in tree.iter("label") for control in label.iter() if label.text}
    assert {e for name in ("select", "input") for e in tree.iter(name)} <= labelled
    assert all(e.get("alt") for e in tree.iter("img"))
    assert all(e.get("scope") for e in tree.iter("th"))
    assert all(e.get("aria-label") for e in found(tree, "div", "scroll"))
    assert all(e.get("aria-hidden") == "true" for e in tree.iter("svg"))


def channel(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def luminance(colour: str) -> float:
    red, green, blue = (channel(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1])
def test_texts_have_contrast_in_both_schemes(scheme: int) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1."""
    block = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[scheme]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block))
    for front in ("ink", "soft", "accent"):
        for back in ("page", "sheet"):
            a, b = sorted((luminance(colours[front]), luminance(colours[back])))
            assert (b + 0.05) / (a + 0.05) >= 4.5, (front, back)


def block(tree: Element, task: str) -> Element:
    """Return the section of a task."""
    return next(e for e in tree.iter("section") if words(next(e.iter("h2"))).startswith(f"{task} on "))


def test_scores_stand_as_in_markdown_and_incomplete_rows_apart(tree: Element) -> None:
    (scores,) = found(block(tree, "parsing_depth"), "table", "scores")
    bodies = [[words(row) for row in body.iter("tr")] for body in scores.iter("tbody")]
    assert [body[0] for body in bodies] == ["resnet10", "vit_tiny"]
    assert [[row.split()[0] for row in body[1:]] for body in bodies] == [
        ["scratch", "cmc", "hcmoco"], ["scratch", "mae"],
    ]  # fmt: skip
    markdown = (GOLDEN.parent / "expected" / "leaderboard.md").read_text()
    for row in (row for body in bodies for row in body[1:]):
        cells = re.findall(r"\d+\.\d \[[\d., ]+\] \(n=\d\)(?: ≈)?", row)
        assert len(cells) == 2
        for cell in cells:
            mean = cell.split(" ")[0]
            best = f"**{cell}**"
            assert f" {cell} |" in markdown or best in markdown
            bold = [words(b) for b in scores.iter("b")]
            assert (mean in bold) == (best in markdown)
    (apart,) = found(tree, "div", "incomplete")
    assert words(apart).startswith("Incomplete, not ranked mmv on resnet10: missing 100 %: seed 1. Present: ")
    assert "mmv" not in words(scores)


def test_notes_differences_and_problems_say_what_markdown_says(tree: Element) -> None:
    said = {words(e) for e in tree.iter("p")}
    markdown = (GOLDEN.parent / "expected" / "leaderboard.md").read_text()
    for line in markdown.splitlines():
        if line.startswith(("n = ", "Bold", "†", "‡", "Paired", "Labels", "How many", "Average", "Preset")):
            plain = html.unescape(line.replace("**", "").replace("\\", "")).removesuffix(":")
            assert plain in said or line.endswith(("protocol 1.", "protocol 2.")), line
    (differences,) = found(block(tree, "parsing_depth"), "table", "differences")
    shown = re.findall(r"[+-]\d+\.\d \[[+-].*?\] \(n=\d, .*?\)", words(differences))
    assert len(shown) == 12 and all(
        f"| **{difference}** |" in markdown or f"| {difference} |" in markdown for difference in shown
    )
    problems = next(e for e in tree.iter("section") if e.get("id") == "problems")
    assert "is not JSON (truncated or damaged); left out" in words(problems)


def test_published_numbers_stand_apart_and_open_nothing(tree: Element) -> None:
    (foreign,) = found(tree, "section", "foreign")
    assert next(words(e) for e in foreign.iter("h2")) == NOT_COMPARABLE
    assert "35.01" in words(foreign)  # HCMoCo at 20 % of the labels, as printed
    assert not [e for e in foreign.iter() if "data-entry" in e.attrib or "data-sort" in e.attrib]
    others = [e for e in tree.iter("table") if e not in set(foreign.iter("table"))]
    assert not any("HCMoCo" in words(table) for table in others)


def test_every_number_opens_the_records_behind_it(tree: Element) -> None:
    data = island(tree)
    cells = [e for e in tree.iter() if "data-entry" in e.attrib]
    assert sorted(int(e.get("data-entry") or "") for e in cells) == list(range(len(data["entries"])))
    keys = set()
    for cell in cells:
        entry = data["entries"][int(cell.get("data-entry") or "")]
        assert entry["summary"][0][1].split(" ")[0] == words(cell).split(" ")[0]
        if "key" in entry:
            keys |= {
                v for s in entry["sections"] for r in data["sections"][s][2] for v in data["rows"][r][1:]
            }
    problems = words(next(e for e in tree.iter("section") if e.get("id") == "problems"))
    every = {p.parent.name[-16:] for p in GOLDEN.glob("score/*/record.json") if "broken" not in str(p)}
    assert {key for key in every if f"record {key}" not in problems} <= keys


def test_the_same_records_give_the_same_page(golden: Path, tmp_path: Path) -> None:
    report(GOLDEN, tmp_path, reference="cmc")
    assert (tmp_path / "leaderboard.html").read_bytes() == golden.read_bytes()


def test_the_grid_of_the_readme_gives_a_small_page(
    tiny_records: list[dict[str, Any]], store: Store, tmp_path: Path
) -> None:
    report(store(tiny_records), tmp_path / "out", reference="cmc")
    text = (tmp_path / "out" / "leaderboard.html").read_text()
    tree = parse(text)
    assert len(text) < 2_000_000
    assert len(found(tree, "table", "scores")) == 3
    assert len(list(tree.iter("img"))) == len(list((tmp_path / "out" / "plots").glob("*.svg"))) > 9
    data = island(tree)
    assert len([e for e in data["entries"] if "key" in e]) == 30
    titles = {data["sections"][s][0] for e in data["entries"] for s in e.get("sections", ())}
    assert {f"Configuration: {t}" for t in ("score", "prediction", "fine-tuning", "pretraining")} <= titles


NASTY = st.text(
    st.one_of(
        st.sampled_from("<>&\"'`/\\{}%#=-! \n\t\0\u202e\u2028\u2029é漢"),
        st.characters(exclude_categories=["Cs"]),
    ),
    min_size=1,
    max_size=30,
).filter(text.plain)
LABELS = ("encoder", "task", "dataset", "preset", "backbone", "config", "published")


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=NASTY, labels=st.fixed_dictionaries(dict.fromkeys(LABELS, NASTY)))
def test_names_are_shown_as_they_are_and_never_become_markup(
    name: str, labels: dict[str, str], make_record: Make, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("store")
    plain = tmp_path_factory.mktemp("store")
    for place, method, more in ((root, name, labels), (plain, "b", dict.fromkeys(LABELS, "a"))):
        for record in (make_record(SCORES, labels=more), make_record(SCORES + 9, method=method, labels=more)):
            path = place / "score" / f"x-{record['key']}" / "record.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(record))
    tree = parse(render(root))
    methods = {words(e) for e in found(tree, "span", "name")}
    assert methods == {"scratch", words_of(name)} or text.plain(name).startswith("scratch")
    assert words_of(labels["encoder"]) in {words(e) for e in tree.iter("th")}
    assert f"{words_of(labels['task'])} on {words_of(labels['dataset'])}" in {
        words(e) for e in tree.iter("h2")
    }
    assert Counter(e.tag for e in tree.iter()) == Counter(e.tag for e in parse(render(plain)).iter())
    entries = island(tree)["entries"]
    assert text.plain(name) in {entry["title"] for entry in entries}


def words_of(name: str) -> str:
    return " ".join(text.plain(name).split())


def test_two_hundred_characters_paths_and_one_method_alone_are_handled(
    make_record: Make, store: Store, tmp_path: Path
) -> None:
    labels = {"encoder": "e" * 200, "task": "../" * 60, "dataset": "/etc/passwd", "preset": "p" * 200}
    record = make_record(SCORES, method="m" * 200, labels=labels, curve=[], replicates=0)
    report(store([record]), tmp_path / "out")
    tree = parse((tmp_path / "out" / "leaderboard.html").read_text())
    (scores,) = found(tree, "table", "scores")
    assert [words(row) for row in scores.iter("tr")][-1] == f"{'m' * 200} 35.0 (n=1)"
    (entry,) = island(tree)["entries"]
    assert entry["curves"] == [None]
    assert not found(tree, "svg", "whisker")
    assert "No differences: no scratch" in words(tree)


def test_what_is_said_over_tasks_has_sections_with_their_plots(
    make_world: Make, store: Store, tmp_path: Path
) -> None:
    effects = {"scratch": 25.0, "cmc": 30.0, "hcmoco": 33.0}
    records = [r for i in range(6) for r in make_world(effects, labels={"task": f"task{i}"}, stream=i)]
    report(store(records), tmp_path / "out")
    tree = parse((tmp_path / "out" / "leaderboard.html").read_text())
    made = next(e for e in tree.iter("section") if e.get("id") == "s1")
    assert words(next(made.iter("h2"))) == "Over tasks: resnet10"
    assert [words(e) for e in made.iter("h3")] == ["Ranks and normalised scores", "Pairs of methods"]
    ranks = [words(row) for row in next(made.iter("table")).iter("tr")]
    assert [row.split()[1] for row in sorted(ranks[1:])] == ["2.00", "1.00", "3.00"]
    assert "average ranks over 6 tasks" in (next(made.iter("img")).get("alt") or "")
    assert ("#s1", "Over tasks: resnet10") in {(e.get("href"), words(e)) for e in tree.iter("a")}


def test_what_methods_save_stands_beside_each_table(make_world: Make, store: Store) -> None:
    tree = parse(render(store(make_world({"scratch": 25.0, "cmc": 35.0}))))
    block = next(e for e in tree.iter("section") if e.get("id") == "t1")
    assert [words(e) for e in block.iter("h3")] == [
        "Paired differences", "Labels saved", "Epochs saved", "Quality beside cost",
    ]  # fmt: skip
    labels = found(block, "table", "plain")[0]
    assert {row.get("data-method") for row in labels.iter("tr")} == {None, "cmc"}
    assert "times" in words(labels)


def test_tables_of_several_settings_stay_apart_and_can_be_filtered(make_world: Make, store: Store) -> None:
    records = [
        record
        for i, changes in enumerate(({}, {"preset": "small"}, {"track": "published"}, {"task": "pose"}))
        for record in make_world({"scratch": 25.0, "cmc": 30.0}, labels=changes, stream=i)
    ]
    tree = parse(render(store(records)))
    assert len(found(tree, "table", "scores")) == 4
    offered = {s.get("name"): [words(o) for o in s.iter("option")] for s in tree.iter("select")}
    assert offered == {
        "task": ["all", "parts", "pose"],
        "share": ["all", "10 % labels", "100 % labels"],
        "encoder": ["all", "resnet10"],
        "preset": ["all", "small", "tiny"],
        "track": ["all", "controlled", "published"],
    }
    facets = [
        tuple(offered[n][1 + int(e.get(f"data-{n}") or "")] for n in ("task", "preset", "track"))
        for e in tree.iter("section")
        if e.get("data-share")
    ]
    assert sorted(facets) == sorted(set(facets)) == [
        ("parts", "small", "controlled"), ("parts", "tiny", "controlled"),
        ("parts", "tiny", "published"), ("pose", "tiny", "controlled"),
    ]  # fmt: skip


def columns(tree: Element) -> Iterator[tuple[str, str]]:
    for head in tree.iter("thead"):
        for cell in head.iter("th"):
            yield words(cell), cell.get("data-sort", "")


def test_sorting_begins_with_the_better_end(make_world: Make, store: Store) -> None:
    lower = {"metrics": [{"name": "error", "value": 3.0, "unit": "mm", "higher_is_better": False}]}
    worse = store(make_world({"scratch": 25.0, "cmc": 30.0}, fractions={"1": 0.0}, **lower))
    sorts = set(columns(parse(render(worse))))
    assert ("100 % labels", "low") in sorts and ("method", "name") in sorts
    assert ("peak memory", "low") in sorts and ("fine-tuning samples/s", "high") in sorts
