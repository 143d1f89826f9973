"""The leaderboard page, opened from a file in a real Chromium, at a desk and on a phone.

BENCH_SCREENSHOTS=FOLDER keeps images of what the tests see.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser

Open = Callable[..., Any]

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
FOCUS = "document.activeElement"


def unfold(page: Any, section: str = "#t1") -> Any:
    """Open a section; return it."""
    found = page.locator(section)
    if found.locator("> details").get_attribute("open") is None:
        found.locator("> details > summary").click()
    found.locator("> details > :nth-child(2)").wait_for()
    return found


def rows(page: Any, section: str = "#t1") -> list[list[str]]:
    """Return the names in the groups of a section's scores, as they stand, without hidden ones."""
    bodies = page.locator(f"{section} table.scores tbody:visible").all()
    return [
        body.locator("tr[data-row]:visible").evaluate_all("(all) => all.map((r) => r.dataset.method)")
        for body in bodies
    ]


def values(page: Any, column: int) -> list[list[float]]:
    """Return the numbers of a column of the first scores, by group, from top to bottom."""
    cell = f"tr[data-row] > :nth-child({column + 1})"
    read = "(all) => all.map((cell) => Number(cell.dataset.value))"
    return [body.locator(cell).evaluate_all(read) for body in page.locator("#t1 table.scores tbody").all()]


def titles(page: Any) -> list[str]:
    """Return the headings of the tables that are shown."""
    return page.locator("main > section[id^=t]:visible h2").all_inner_texts()


def sorter(page: Any, column: int, section: str = "#t1", kind: str = "scores") -> Any:
    return page.locator(f"{section} table.{kind} thead th").nth(column).locator("button")


@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_quietly_and_fits(size: str, scheme: str, leaderboard: Path, visit: Open) -> None:
    session = visit(leaderboard, size, color_scheme=scheme)
    page = session.page
    assert page.evaluate(OVERFLOW) == 0
    assert len(titles(page)) == 4
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(251, 251, 249)", "dark": "rgb(20, 22, 26)"}[scheme]
    session.shot(f"{size}-{scheme}")
    for section in page.locator("main > section").evaluate_all("(all) => all.map((s) => s.id)"):
        unfold(page, f"#{section}")
    assert page.evaluate("[...document.images].every((i) => i.complete && i.naturalWidth > 100)")
    assert page.locator("figure img").count() == page.locator("img").count() > 20  # each has found its place
    assert page.evaluate(OVERFLOW) == 0
    session.shot(f"{size}-{scheme}-whole", whole=True)
    page.locator("#t2 table.scores .open").first.click()
    session.shot(f"{size}-{scheme}-record")


def test_elements_are_made_for_readers_of_all_kinds(leaderboard: Path, visit: Open) -> None:
    page = visit(leaderboard).page
    unfold(page)
    unfold(page, "#cost")
    ids = page.locator("[id]").evaluate_all("(all) => all.map((e) => e.id)")
    assert len(ids) == len(set(ids))
    levels = [
        int(w) for w in page.locator("h1, h2, h3").evaluate_all("(all) => all.map((e) => e.tagName[1])")
    ]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))
    for wrong in (
        "th:not([scope])",
        "img:not([alt])",
        ".scroll:not([aria-label])",
        "table:not(:has(caption))",
    ):
        assert page.locator(wrong).count() == 0, wrong
    assert page.locator("select, input").count() == page.locator("label select, label input").count()


# ---- the overview


@pytest.fixture(scope="module")
def blocks(leaderboard: Path) -> Any:
    return json.loads(leaderboard.with_name("leaderboard.json").read_text())["overview"]


def test_the_overview_says_who_wins_before_anything_else(leaderboard: Path, blocks: Any, visit: Open) -> None:
    page = visit(leaderboard).page
    chips = page.locator(".chips button").all_inner_texts()
    assert [chip.split("\n")[-1] for chip in chips] == [block["answer"] for block in blocks]
    for place, block in enumerate(blocks):
        page.locator(".chips button").nth(place).click()
        assert page.locator(".matrix:visible").count() == 1
        shown = page.locator(".matrix:visible tbody tr").evaluate_all(
            "(all) => all.map((row) => [...row.cells].map((cell) => cell.textContent))"
        )
        lines = [
            [*row["names"], *(entry["text"] for entry in row["entries"])] for row in block["table"]["rows"]
        ]
        assert shown == lines


def test_tiles_are_coloured_by_difference_to_scratch_and_open_their_record(
    leaderboard: Path, visit: Open
) -> None:
    page = visit(leaderboard).page
    best = page.locator(".matrix:visible tr[data-method=hcmoco] td[class*=up]").first
    scratch = page.locator(".matrix:visible tr[data-method=scratch] td").last
    colours = [e.evaluate("(e) => getComputedStyle(e).backgroundColor") for e in (best, scratch)]
    assert colours[0] != colours[1]
    best.locator("button").click()
    assert page.locator("dialog .place").inner_text() == "densepose on d_densepose, resnet10_w24, 10 % labels"
    page.keyboard.press("Escape")
    page.locator(".matrix:visible thead button", has_text="parsing_depth").click()
    assert page.locator("#t2 table.scores").is_visible()
    assert page.evaluate(f"{FOCUS}.textContent") == "parsing_depth on d_parsing_depth"


def test_filters_choose_the_block_and_its_columns(leaderboard: Path, visit: Open) -> None:
    page = visit(leaderboard).page
    page.select_option("select[name=encoder]", "vit_d96")
    page.select_option("select[name=share]", label="100 % labels")
    assert page.locator(".chips button:visible").count() == 1
    page.select_option("select[name=task]", "parsing_rgb")
    assert page.locator(".matrix:visible thead th:visible").all_inner_texts()[4:] == ["parsing_rgb ↑"]
    page.locator("input[name=method]").fill("mae")
    assert page.locator(".matrix tbody tr:visible").evaluate_all(
        "(all) => all.map((r) => r.dataset.method)"
    ) == ["mae"]


def test_fifteen_methods_on_twenty_tasks_need_no_scrolling(wide: Path, visit: Open) -> None:
    session = visit(wide)
    page = session.page
    session.shot("desktop-wide")
    box = page.locator(".matrix:visible").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= page.viewport_size["width"]
    assert box["y"] + box["height"] <= page.viewport_size["height"]
    assert page.locator(".matrix:visible tbody tr").count() == 15
    assert page.locator(".matrix:visible thead th").count() == 4 + 20
    assert page.locator(".chips button").count() == 3 and page.locator(".chips button").first.is_visible()
    page.locator(".matrix:visible .open").nth(25).click()
    assert page.locator("dialog dd").first.inner_text()


# ---- sorting


def test_a_column_sorts_by_click_and_groups_stay_together(leaderboard: Path, visit: Open) -> None:
    page = visit(leaderboard).page
    unfold(page)
    groups = page.locator("#t1 table.scores tr.group").all_inner_texts()
    before = values(page, 2)
    header = page.locator("#t1 table.scores thead th").nth(2)
    seen = []
    for _ in range(3):
        header.locator("button").click()
        seen.append((header.get_attribute("aria-sort"), values(page, 2)))
    assert seen == [
        ("descending", [sorted(group, reverse=True) for group in before]),
        ("ascending", [sorted(group) for group in before]),
        (None, before),
    ]
    assert [len(group) for group in before] == [3, 2]
    assert (
        page.locator("#t1 table.scores tr.group").all_inner_texts() == groups == ["resnet10_w24", "vit_d96"]
    )


def test_a_column_sorts_by_keyboard_and_one_at_a_time(leaderboard: Path, visit: Open) -> None:
    page = visit(leaderboard).page
    unfold(page)
    unfold(page, "#t2")
    before = values(page, 3)
    sorter(page, 3).focus()
    page.keyboard.press("Enter")
    assert values(page, 3) == [sorted(group, reverse=True) for group in before]
    sorter(page, 0).focus()
    page.keyboard.press("Space")
    assert rows(page) == [["scratch", "hcmoco", "cmc"], ["scratch", "mae"]]
    assert page.locator("#t1 table.scores th[aria-sort]").count() == 1
    assert page.locator("#t2 th[aria-sort]").count() == 0


def test_incomplete_rows_are_never_sorted_in(leaderboard: Path, visit: Open) -> None:
    page = visit(leaderboard).page
    section = unfold(page, "#t4")
    lacks = section.locator(".incomplete").inner_text()
    assert "resnet10, mmv: missing 10 %: seed 1; 100 %: seeds 0, 1, 2. Present: 10 %:" in lacks
    sorter(page, 2, "#t4").click()
    assert section.locator("table.scores tr[data-method='mmv']").count() == 0


def test_absent_numbers_come_last_whichever_way_a_column_is_sorted(leaderboard: Path, visit: Open) -> None:
    page = visit(leaderboard).page
    table = unfold(page, "#t4").locator("table.differences")
    assert table.locator("tr[data-method=mmv] td.number").last.inner_text() == "n/a"
    for _ in range(2):
        sorter(page, 3, "#t4", "differences").click()
        names = table.locator("tr[data-row]").evaluate_all("(rows) => rows.map((r) => r.dataset.method)")
        assert sorted(names[:3]) == ["cmc", "mae", "mae"] and names[3:] == ["mmv", "mmv"]


# ---- filters

# of an encoder, and of all
FIGURES = [
    "parsing_rgb: data efficiency", "parsing_rgb: difference to scratch", "parsing_rgb: difference to cmc",
    "parsing_rgb, vit_d96: fine-tuning", "parsing_rgb: cost, 100 % labels",
]  # fmt: skip


def test_every_filter_shows_what_it_names(leaderboard: Path, visit: Open) -> None:
    session = visit(leaderboard)
    page = session.page
    page.select_option("select[name=task]", "parsing_rgb")
    assert titles(page) == ["parsing_rgb on d_parsing_rgb"]
    assert page.locator("#shown").inner_text() == "1 of 4 tables"
    page.select_option("select[name=encoder]", "vit_d96")
    unfold(page, "#t3")  # opened later, it is filtered all the same
    assert rows(page, "#t3") == [["scratch", "mae"]]
    shown = page.locator("#t3 figure:visible img").evaluate_all("(all) => all.map((one) => one.alt)")
    assert [alt.partition(".")[0] for alt in shown] == FIGURES
    page.select_option("select[name=share]", label="10 % labels")
    assert page.locator("#t3 table.scores thead th:visible").count() == 3
    assert page.locator("#t3 table.differences td.number:visible").count() == 1
    session.shot("desktop-filtered")
    page.select_option("select[name=preset]", "wide")
    assert titles(page) == []
    assert page.locator("#nothing").is_visible()
    page.locator("button[type=reset]").click()
    page.wait_for_url(lambda url: not url.partition("#")[2])  # the page allows no eval, which others need
    assert len(titles(page)) == 4 and not page.locator("#nothing").is_visible()
    page.select_option("select[name=preset]", "wide")
    assert titles(page) == ["parts on people"]
    assert page.locator("main > section[id^=s]:visible h2").all_inner_texts() == ["Over tasks: resnet10"]


def test_the_search_looks_at_names_of_methods(leaderboard: Path, visit: Open) -> None:
    page = visit(leaderboard).page
    unfold(page)
    unfold(page, "#cost")
    page.locator("input[name=method]").press_sequentially("MoC")
    assert rows(page) == [["hcmoco"]]
    assert len(titles(page)) == 3
    assert page.locator("#cost tr[data-row]:visible").count() == 1
    page.locator("input[name=method]").fill("nobody")
    assert titles(page) == []


def test_the_address_restores_filters_and_the_open_record(leaderboard: Path, visit: Open) -> None:
    page = visit(leaderboard).page
    page.select_option("select[name=task]", "densepose")
    page.select_option("select[name=share]", label="100 % labels")
    page.locator("input[name=method]").fill("hcmoco")
    unfold(page).locator("table.scores .open:visible").click()
    title = page.locator("dialog .place").inner_text()
    assert title == "densepose on d_densepose, resnet10_w24, 100 % labels"
    page.reload()
    assert page.locator("dialog .place").inner_text() == title
    page.keyboard.press("Escape")
    assert titles(page) == ["densepose on d_densepose"]
    unfold(page)
    assert rows(page) == [["hcmoco"]]
    assert page.locator("select[name=share]").evaluate("(s) => s.selectedOptions[0].text") == "100 % labels"
    page.locator("nav a:visible").last.click()  # a jump within the page leaves the filters alone
    assert "task=densepose" in page.url and rows(page) == [["hcmoco"]]


# ---- what a section says


def test_tables_say_what_the_markdown_says(leaderboard: Path, visit: Open) -> None:
    page = visit(leaderboard).page
    markdown = leaderboard.with_name("leaderboard.md").read_text().replace("**", "").replace("\\", "")
    number = re.compile(r"[+-]?\d[\d.,]* \[[^\]]+\] \([^)]*\)")
    for section in ("#t1", "#t2", "#t3", "#t4"):
        words = " ".join(unfold(page, section).inner_text().split())
        found = number.findall(words)
        assert len(found) > 10
        assert [w for w in found if w not in markdown] == []
    for section in ("#s1", "#cost", "#published"):
        words = unfold(page, section).locator("table").first.inner_text().split()
        assert [w for w in words if re.fullmatch(r"\d+\.\d\d", w) and w not in markdown] == []
    assert page.locator("#published .open").count() == 0


def test_what_is_said_over_tasks_has_its_figure(leaderboard: Path, visit: Open) -> None:
    page = visit(leaderboard).page
    page.locator("nav a", has_text="Over tasks: resnet10_w24").click()
    section = page.locator("#s1")
    assert section.locator("h3").all_inner_texts() == ["Ranks and normalised scores", "Figures"]
    assert "average ranks over 3 tasks" in section.locator("figure img").get_attribute("alt")
    assert "No critical difference: it needs at least 5 tasks (here 3)" in section.inner_text()


# ---- records


def test_a_record_opens_by_mouse_and_shows_its_runs(leaderboard: Path, visit: Open) -> None:
    session = visit(leaderboard)
    page = session.page
    opener = unfold(page).locator("table.scores tr[data-method=hcmoco] .open").first
    mean = opener.inner_text().split()[0]
    opener.click()
    dialog = page.locator("dialog")
    assert dialog.locator("h2").inner_text() == "hcmoco"
    assert dialog.locator("dd").first.inner_text().startswith(mean)
    heads = dialog.locator("thead").first.locator("th").all_inner_texts()
    assert heads == ["seed 0", "seed 1", "seed 2", "mean"]
    assert dialog.locator("svg.chart g.ink path").count() == 3
    assert dialog.locator("svg.chart").bounding_box()["width"] > 600
    text = dialog.inner_text()
    for word in ("0123456789abcdef", "record key", "peak memory", "python"):
        assert word in text
    assert not dialog.get_by_text("train.lr").first.is_visible()
    dialog.get_by_text("Configuration: fine-tuning").click()
    assert "0.02" in dialog.locator("tr", has_text="train.lr").first.inner_text()
    session.shot("desktop-configuration")
    dialog.locator("button.close").click()
    assert not dialog.is_visible()
    opener.click()
    page.mouse.click(5, 5)  # beside it
    assert not dialog.is_visible()


def test_a_record_opens_and_closes_by_keyboard_alone(leaderboard: Path, visit: Open) -> None:
    page = visit(leaderboard).page
    page.keyboard.press("Tab")
    assert page.evaluate(f"{FOCUS}.textContent") == "Skip to the tables"
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate(f"{FOCUS}.className") == "open":
            break
    name = page.evaluate(f"{FOCUS}.getAttribute('aria-label')")
    assert "; hcmoco, densepose on d_densepose, resnet10_w24, 10 % labels" in name
    assert page.evaluate(f"getComputedStyle({FOCUS}).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.locator("dialog").is_visible()
    assert page.evaluate(f"{FOCUS}.getAttribute('aria-label')") == "Close"
    for _ in range(4):
        page.keyboard.press("Tab")
        assert page.evaluate(f"!!{FOCUS}.closest('dialog') || {FOCUS} === document.body")
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    assert page.evaluate(f"{FOCUS}.getAttribute('aria-label')") == name
    page.locator("#t1 summary").first.focus()
    page.keyboard.press("Enter")
    page.locator("#t1 table.scores").wait_for()


def test_a_difference_opens_both_records(leaderboard: Path, visit: Open) -> None:
    session = visit(leaderboard)
    page = session.page
    opener = unfold(page).locator("table.differences tr[data-method=hcmoco] .open").first
    opener.click()
    assert page.locator("dialog h2").inner_text() == "hcmoco minus scratch"
    assert page.locator("dialog svg.chart g.ink path").count() == 6
    session.shot("desktop-difference")
    page.get_by_role("button", name="Record of scratch").click()
    assert page.locator("dialog h2").inner_text() == "scratch"
    page.keyboard.press("Escape")
    assert opener.evaluate("(e) => e === document.activeElement")


# ---- devices and dangers


def test_on_a_phone_tables_scroll_alone_under_a_fixed_first_column(leaderboard: Path, visit: Open) -> None:
    session = visit(leaderboard, "phone", has_touch=True)
    page = session.page
    unfold(page)
    box = page.locator("#t1 .scroll", has=page.locator("table.differences"))
    assert box.evaluate("(e) => e.scrollWidth > e.clientWidth")
    first = box.locator("tbody th[scope=row]").first
    before = first.bounding_box()["x"]
    box.evaluate("(e) => (e.scrollLeft = 200)")
    assert first.bounding_box()["x"] == pytest.approx(before, abs=1)
    box.scroll_into_view_if_needed()
    session.shot("phone-scrolled")
    assert all(c.bounding_box()["width"] <= 358 for c in page.locator("#filters select").all())
    page.locator("#t1 table.scores .open").first.tap()
    dialog = page.locator("dialog")
    assert dialog.bounding_box()["width"] == 390
    assert dialog.evaluate("(e) => e.scrollWidth - e.clientWidth") <= 0
    assert page.evaluate(OVERFLOW) == 0


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_hostile_and_endless_names_neither_run_nor_break_the_page(
    size: str, hostile: Path, visit: Open
) -> None:
    session = visit(hostile, size)
    page = session.page
    assert page.evaluate("window.ran") is None
    assert page.evaluate(OVERFLOW) == 0
    unfold(page)
    for opener in page.locator("table.scores .open").all()[::5]:
        opener.click()
        page.keyboard.press("Escape")
    page.select_option("select[name=encoder]", index=1)
    page.reload()
    unfold(page)
    names = rows(page)[0]
    assert len(names) == 8 and "</script><!--" in names
    assert (
        page.locator("#t1 tr[data-method^='<script>'] .name").first.inner_text()
        == "<script>window.ran = 1</script>"
    )
    assert page.evaluate("window.ran") is None and page.locator("main script, main [onload]").count() == 0
    assert page.evaluate(OVERFLOW) == 0
    session.shot(f"{size}-hostile", whole=True)


def test_without_scripts_the_page_says_where_the_tables_are(leaderboard: Path, visit: Open) -> None:
    page = visit(leaderboard, java_script_enabled=False).page
    assert "leaderboard.md" in page.locator("noscript").inner_text()
    assert page.locator("button:visible, select:visible, img:visible").count() == 0


def test_motion_stops_where_it_is_not_wanted(leaderboard: Path, visit: Open) -> None:
    behaviour = "getComputedStyle(document.documentElement).scrollBehavior"
    assert visit(leaderboard, reduced_motion="no-preference").page.evaluate(behaviour) == "smooth"
    assert visit(leaderboard, reduced_motion="reduce").page.evaluate(behaviour) == "auto"


def test_the_policy_stops_requests_and_foreign_scripts(leaderboard: Path, visit: Open) -> None:
    session = visit(leaderboard)
    stopped = session.page.evaluate(
        """async () => {
          const found = [];
          document.addEventListener("securitypolicyviolation", (e) => found.push(e.effectiveDirective));
          await fetch("https://example.org/").catch(() => 0);
          const make = (name, values) => Object.assign(document.createElement(name), values);
          document.body.append(make("img", { src: "https://example.org/x.png" }));
          document.body.append(make("script", { textContent: "window.ran = 1" }));
          await new Promise((done) => setTimeout(done, 300));
          return found;
        }"""
    )
    assert sorted(stopped) == ["connect-src", "img-src", "script-src-elem"]
    assert session.page.evaluate("window.ran") is None
    assert all("Content Security Policy" in complaint for complaint in session.complaints)
    session.complaints.clear()  # they were asked for, and so were the requests, which never left
    session.requests = [url for url in session.requests if "example.org" not in url]


def test_print_unfolds_everything_and_leaves_the_controls_out(leaderboard: Path, visit: Open) -> None:
    session = visit(leaderboard)
    session.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    session.page.emulate_media(media="print")
    assert not session.page.locator("#filters").is_visible()
    assert session.page.locator("table.scores:visible").count() == 4
    session.shot("print", whole=True)
