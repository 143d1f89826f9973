"""The page as an independent parser reads it; `tests/browser` opens it in a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report import page
from bench.report.lineage import Lineage
from bench.report.records import load
from bench.report.write import report
from bench.report.writers import json_text

Make = Callable[..., Any]
Store = Callable[..., Path]

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "report" / "store"
REPORT = Path(page.__file__).parent
STYLE = (REPORT / "page.css").read_text()
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="100pt" height="50pt"></svg>'


def parse(text: str) -> Element:
    """Return the tree of a page; any parse error of the HTML standard fails."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    tree: Element = parser.parse(text)
    return tree


def island(tree: Element) -> Any:
    return json.loads(next(e for e in tree.iter("script") if e.get("id") == "data").text or "")


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the recorded store: two encoders, an incomplete row, marks, a damaged record."""
    out = tmp_path_factory.mktemp("out")
    report(GOLDEN, out, reference="cmc")
    return out


@pytest.fixture(scope="module")
def tree(golden: Path) -> Element:
    return parse((golden / "leaderboard.html").read_text())


def test_nothing_is_requested_from_anywhere(tree: Element) -> None:
    names = ("src", "href", "data", "action")
    addresses = [e.attrib[name] for e in tree.iter() for name in names if name in e.attrib]
    assert (
        sum(a.startswith("data:image/svg+xml;base64,") for a in addresses) == len(list(tree.iter("img"))) > 3
    )
    assert {a.partition(",")[0] for a in addresses} == {"data:", "data:image/svg+xml;base64", "#main"}
    assert not [e for e in tree.iter() for name in e.attrib if name.startswith("on") or name == "style"]
    assert not re.search(r"url\(|@import|https?:", STYLE)
    assert not re.search(
        r"innerHTML|insertAdjacentHTML|document\.write|eval\(", (REPORT / "page.js").read_text()
    )


def test_the_policy_forbids_requests_and_names_the_only_style_and_script(tree: Element) -> None:
    policy = next(e.get("content") or "" for e in tree.iter("meta") if e.get("http-equiv"))
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    scripts = [e for e in tree.iter("script") if not e.get("type")]
    for rule, (element,) in (("style-src", [*tree.iter("style")]), ("script-src", scripts)):
        digest = base64.b64encode(hashlib.sha256((element.text or "").encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"
    assert set(rules) == {"default-src", "style-src", "script-src", "img-src", "base-uri", "form-action"}


def channel(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def luminance(red: float, green: float, blue: float) -> float:
    return 0.2126 * channel(red) + 0.7152 * channel(green) + 0.0722 * channel(blue)


@pytest.mark.parametrize("scheme", [0, 1])
def test_texts_have_contrast_in_both_schemes(scheme: int) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1, also on the coloured tiles of the overview."""
    block = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[scheme]
    found = re.findall(r"--(\w+): #([0-9a-f]{6});", block)
    colours = {name: np.array([int(c[i : i + 2], 16) / 255 for i in (0, 2, 4)]) for name, c in found}
    pairs = [
        (colours[front], colours[back]) for front in ("ink", "soft", "accent") for back in ("page", "sheet")
    ]
    mixed = re.findall(r"color-mix\(in srgb, var\(--(\w+)\) (\d+)%, var\(--page\)\)", STYLE)
    assert len(mixed) == 6
    for name, percent in mixed:
        share = int(percent) / 100
        pairs.append((colours["ink"], share * colours[name] + (1 - share) * colours["page"]))
    for front, back in pairs:
        dark, light = sorted((luminance(*front), luminance(*back)))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (front, back)


def test_the_page_holds_exactly_the_exported_json_and_figures(golden: Path, tree: Element) -> None:
    body = json.loads((golden / "leaderboard.json").read_text())
    assert island(tree) == body
    assert {figure["file"] for figure in body["figures"]} == {
        f"plots/{p.name}" for p in golden.glob("plots/*.svg")
    }
    tables = [table["key"] for table in body["tables"]]
    ranks = [
        {
            **dict(zip(("preset", "track", "mode", "protocol"), o["setting"], strict=True)),
            "encoder": o["encoder"],
        }
        for o in body["over_tasks"]
    ]
    assert all(figure["subject"] in [*tables, *ranks] for figure in body["figures"])
    keys = {key for table in body["tables"] for cell in table["cells"] for key in cell["keys"]}
    assert keys <= set(body["records"])
    names = {cell["name"] for table in body["tables"] for cell in table["cells"]}
    assert names <= set(body["colours"])
    entries = [
        entry
        for table in [table for section in body["sections"] for table in section["tables"]]
        + [block["table"] for block in body["overview"]]
        for row in table["rows"]
        for entry in row["entries"]
    ]
    assert {entry["sheet"] for entry in entries} - {""} == set(body["sheets"])
    assert {key for sheet in body["sheets"].values() for key in sheet["keys"]} == set(body["records"])
    links = {key for sheet in body["sheets"].values() for _, key in sheet["links"]}
    assert len(links) > 3 and links <= set(body["sheets"])
    assert len(body["overview"]) == len(
        {
            (c["encoder"], c["fraction"], c["preset"], c["protocol"])
            for t in body["tables"]
            for c in t["cells"]
        }
    )


NASTY = st.text(
    st.one_of(
        st.sampled_from("<>&\"'`/\\{}%#=-! \n\t\u202e\u2028é漢"), st.characters(exclude_categories=["Cs"])
    ),
    max_size=40,
)


@given(
    st.lists(
        st.one_of(NASTY, st.sampled_from(["</script>", "<!--<script>", "]]>", "{{ data }}", "{% raw %}"])),
        max_size=5,
    )
)
def test_no_text_can_end_the_data_or_become_markup(names: list[str]) -> None:
    body = {"names": names}
    tree = parse(page.render(json.dumps(body, ensure_ascii=False), [], REPORT))
    assert island(tree) == body
    plain = parse(page.render("{}", [], REPORT))
    assert Counter(e.tag for e in tree.iter()) == Counter(e.tag for e in plain.iter())


def figure(name: str, encoder: str = "") -> dict[str, Any]:
    return {"file": f"{name}.svg", "title": f"<b>{name}", "caption": 'a "caption"', "encoder": encoder}


def test_figures_beyond_the_limit_are_left_out_those_of_single_encoders_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        (tmp_path / f"{name}.svg").write_text(SVG)
    monkeypatch.setattr(page, "PICTURES", 300)
    tree = parse(page.render("{}", [figure("a", "vit"), figure("b"), figure("c")], tmp_path))
    found = {e.get("id"): e for e in tree.iter("img")}
    assert set(found) == {"picture-1", "picture-2"}
    one = found["picture-1"]
    assert (one.get("width"), one.get("height"), one.get("alt")) == ("160", "80", '<b>b. a "caption"')
    (tmp_path / "a.svg").write_text("<svg/>")
    with pytest.raises(ValueError, match=r"a\.svg does not tell its size"):
        page.render("{}", [figure("a")], tmp_path)


def test_records_hold_what_opens_and_share_their_configurations(
    tiny_records: list[dict[str, Any]], store: Store
) -> None:
    root = store(tiny_records)
    scores = [r for r in tiny_records if r["labels"]]
    names = ("selection", "manifests", "inputs", "provenance", "spec")
    details = {r["key"]: {name: r[name] for name in names} for r in scores}
    curves = {scores[0]["key"]: np.array([[0.123456, 1 / 3], [1.0, 2 / 3]])}
    body = json.loads(json_text(page.records(load(root).runs, details, curves, Lineage(root))))
    first = body["records"][scores[0]["key"]]
    assert first["about"]["Run"]["record key"] == scores[0]["key"]
    assert first["about"]["Run"]["checkpoint: rule"] == "best"
    assert first["about"]["Data"] == {
        "test": f"240 samples, sha256 {'a1b2c3d4' * 2}", "test units": "80 (person)",
        "bootstrap resamples": 200,
    }  # fmt: skip
    assert first["about"]["Cost"]["peak memory"] == "310 MB"
    assert first["about"]["Provenance"]["python"] == "3.11"
    assert first["curve"] == [[0.1235, 1.0], [0.3333, 0.6667]]
    assert body["records"][scores[1]["key"]]["curve"] is None
    titles = [step[0] for step in first["steps"]]
    assert titles == ["score", "prediction", "fine-tuning", "pretraining"]
    specs = [body["specs"][step[3]] for step in first["steps"]]
    assert specs[2]["train.lr"] == 0.02 and [step[2] for step in first["steps"]] == [0, 0, 0, 0]
    assert first["steps"][0][1] == scores[0]["key"]
    # 3 tasks, 4 methods; no seeds, so that runs of a cell share their configurations
    assert len(body["specs"]) == 1 + 1 + 3 + 4 < len(scores)
    assert all("seed" not in spec for spec in body["specs"])


def test_figures_stand_beside_the_tables_of_their_kind_of_budget(
    make_world: Make, store: Store, tmp_path: Path
) -> None:
    budgets = {"1": 8.0, "shots=4": -5.0, "shots=16": 0.0}
    report(store(make_world({"scratch": 25.0, "cmc": 30.0}, fractions=budgets)), tmp_path / "out")
    body = json.loads((tmp_path / "out" / "leaderboard.json").read_text())
    shown = {s["title"]: s for s in body["sections"] if s["id"].startswith("t")}
    assert list(shown) == ["parts on people", "parts on people, few-shot"]
    assert shown["parts on people, few-shot"]["facets"]["share"] == ["shots=4", "shots=16"]
    files = {title: [body["figures"][i]["file"] for i in s["figures"]] for title, s in shown.items()}
    assert all(name.startswith("plots/shots_") for name in files["parts on people, few-shot"])
    assert files["parts on people"] and not any("shots" in name for name in files["parts on people"])
    blocks = {block["fraction"]: block["table"]["columns"][-1]["section"] for block in body["overview"]}
    assert list(blocks.items()) == [("1", "t1"), ("shots=4", "t2"), ("shots=16", "t2")]
    assert body["filters"]["share"][:2] == [["shots=4", "4 shots"], ["shots=16", "16 shots"]]
