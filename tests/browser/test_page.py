"""The leaderboard page, opened from a file in a real Chromium, at a desk and on a phone.

BENCH_SCREENSHOTS=FOLDER keeps pictures of what the tests see.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser

Open = Callable[..., Any]

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
FOCUS = "document.activeElement"


def rows(page: Any, section: str = "#t1") -> list[list[str]]:
    """Return the names in the groups of a section's scores, as they stand, without hidden ones."""
    bodies = page.locator(f"{section} table.scores tbody").all()
    return [
        [
            name
            for row in body.locator("tr[data-method]").all()
            if row.is_visible()
            for name in [row.get_attribute("data-method")]
        ]
        for body in bodies
        if body.is_visible()
    ]


def values(page: Any, column: int) -> list[list[float]]:
    """Return the numbers of a column of the first scores, by group, from top to bottom."""
    bodies = page.locator("#t1 table.scores tbody").all()
    cell = f"tr[data-method] > :nth-child({column + 1})"
    return [
        [float(found.get_attribute("data-value") or "nan") for found in body.locator(cell).all()]
        for body in bodies
    ]


def titles(page: Any) -> list[str]:
    """Return the headings of the tables that are shown."""
    return [h.inner_text() for h in page.locator("main > section[data-task] > h2").all() if h.is_visible()]


@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_quietly_and_fits(size: str, scheme: str, leaderboard: Path, visit: Open) -> None:
    session = visit(leaderboard, size, color_scheme=scheme)
    page = session.page
    assert page.evaluate(OVERFLOW) == 0
    assert len(titles(page)) == 4
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(251, 251, 249)", "dark": "rgb(20, 22, 26)"}[scheme]
    assert page.evaluate("[...document.images].every((i) => i.complete && i.naturalWidth > 100)")
    session.shot(f"{size}-{scheme}")
    session.shot(f"{size}-{scheme}-whole", whole=True)
    page.locator("#t2 table.scores .open").first.click()
    session.shot(f"{size}-{scheme}-record")


def test_a_column_sorts_by_click_and_groups_stay_together(leaderboard: Path, visit: Open) -> None:
    page = visit(leaderboard).page
    groups = page.locator("#t1 table.scores tr.group").all_inner_texts()
    before = values(page, 1)
    header = page.locator("#t1 table.scores th[data-share='0']")
    seen = []
    for _ in range(3):
        header.locator("button").click()
        seen.append((header.get_attribute("aria-sort"), values(page, 1)))
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
    before = values(page, 2)
    page.locator("#t1 table.scores th[data-share='1'] button").focus()
    page.keyboard.press("Enter")
    assert values(page, 2) == [sorted(group, reverse=True) for group in before]
    page.locator("#t1 table.scores th[data-sort='name'] button").focus()
    page.keyboard.press("Space")
    assert rows(page) == [["cmc", "hcmoco", "scratch"], ["mae", "scratch"]]
    assert page.locator("#t1 table.scores th[aria-sort]").count() == 1
    assert page.locator("#t2 th[aria-sort]").count() == 0


def test_incomplete_rows_are_never_sorted_in(leaderboard: Path, visit: Open) -> None:
    page = visit(leaderboard).page
    section = page.locator("main > section", has=page.locator(".incomplete"))
    assert (
        "mmv on resnet10: missing 10 %: seed 1; 100 %: seeds 0, 1, 2"
        in section.locator(".incomplete").inner_text()
    )
    section.locator("table.scores th[data-sort='high'] button").first.click()
    assert section.locator("table.scores tr[data-method='mmv']").count() == 0
    section.locator(".incomplete .open").first.click()
    assert page.locator("dialog h2").inner_text() == "mmv"


def test_absent_numbers_come_last_whichever_way_a_column_is_sorted(leaderboard: Path, visit: Open) -> None:
    page = visit(leaderboard).page
    table = page.locator("#t4 table.differences")
    assert table.locator("tr[data-method=mmv] td.number").last.inner_text() == "n/a"
    for _ in range(2):
        table.locator("th[data-share='1'] button").click()
        names = table.locator("tr[data-method]").evaluate_all("(rows) => rows.map((r) => r.dataset.method)")
        assert sorted(names[:3]) == ["cmc", "mae", "mae"] and names[3:] == ["mmv", "mmv"]


# of an encoder, and of all
FIGURES = [
    "parsing_rgb: data efficiency", "parsing_rgb: difference to scratch", "parsing_rgb: difference to cmc",
    "parsing_rgb, vit_d96: fine-tuning", "parsing_rgb, 100 % labels: quality beside cost",
]  # fmt: skip


def test_every_filter_shows_what_it_names(leaderboard: Path, visit: Open) -> None:
    session = visit(leaderboard)
    page = session.page
    page.select_option("select[name=task]", label="parsing_rgb")
    assert titles(page) == ["parsing_rgb on d_parsing_rgb"]
    assert page.locator("#shown").inner_text() == "1 of 4 tables, 5 of 19 rows"
    page.select_option("select[name=encoder]", label="vit_d96")
    assert rows(page, "#t3") == [["scratch", "mae"]]
    shown = page.locator("#t3 figure:visible img").evaluate_all("(all) => all.map((one) => one.alt)")
    assert [alt.partition(".")[0] for alt in shown] == FIGURES
    page.select_option("select[name=share]", label="10 % labels")
    assert page.locator("#t3 table.scores thead th:visible").count() == 2
    assert page.locator("#t3 table.differences td.number:visible").count() == 1
    session.shot("desktop-filtered")
    page.select_option("select[name=preset]", label="wide")
    assert titles(page) == []
    assert page.locator("#nothing").is_visible()
    page.locator("button[type=reset]").click()
    page.wait_for_function("!location.hash")
    assert len(titles(page)) == 4 and not page.locator("#nothing").is_visible()
    page.select_option("select[name=preset]", label="wide")
    assert titles(page) == ["parts on people"]
    assert page.locator("nav li:visible").all_inner_texts() == [
        "parts on people wide, controlled, strict, protocol 1", "Cost", "Published numbers",
    ]  # fmt: skip


def test_the_search_looks_at_names_of_methods(leaderboard: Path, visit: Open) -> None:
    page = visit(leaderboard).page
    page.locator("input[name=method]").press_sequentially("MoC")
    assert rows(page) == [["hcmoco"]]
    assert len(titles(page)) == 3
    assert page.locator("#cost tr[data-method]:visible").count() == 1
    page.locator("input[name=method]").fill("nobody")
    assert titles(page) == []


def test_the_address_restores_filters_and_the_open_record(leaderboard: Path, visit: Open) -> None:
    page = visit(leaderboard).page
    page.select_option("select[name=task]", label="densepose")
    page.select_option("select[name=share]", label="100 % labels")
    page.locator("input[name=method]").fill("hcmoco")
    page.locator("#t1 table.scores .open:visible").click()
    title = page.locator("dialog .place").inner_text()
    assert title == "densepose on d_densepose, resnet10_w24, 100 % labels"
    page.reload()
    assert page.locator("dialog .place").inner_text() == title
    page.keyboard.press("Escape")
    assert titles(page) == ["densepose on d_densepose"]
    assert rows(page) == [["hcmoco"]]
    assert page.locator("select[name=share]").evaluate("(s) => s.selectedOptions[0].text") == "100 % labels"
    page.locator("nav a:visible").last.click()  # a jump within the page leaves the filters alone
    assert "task=densepose" in page.url and rows(page) == [["hcmoco"]]


def test_a_record_opens_by_mouse_and_shows_its_runs(leaderboard: Path, visit: Open) -> None:
    session = visit(leaderboard)
    page = session.page
    opener = page.locator("#t1 table.scores tr[data-method=hcmoco] .open").first
    mean = opener.inner_text().split()[0]
    opener.click()
    dialog = page.locator("dialog")
    assert dialog.locator("h2").inner_text() == "hcmoco"
    assert dialog.locator("dd").first.inner_text().startswith(mean)
    assert dialog.locator("thead").first.locator("th").all_inner_texts() == [
        "seed 0",
        "seed 1",
        "seed 2",
        "mean",
    ]
    assert dialog.locator("svg.chart g.ink path").count() == 3
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
    page.keyboard.press("Enter")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate(f"{FOCUS}.className") == "open":
            break
    name = page.evaluate(f"{FOCUS}.getAttribute('aria-label')")
    assert name.endswith("; scratch, densepose on d_densepose, resnet10_w24, 10 % labels")
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


def test_a_difference_opens_both_records(leaderboard: Path, visit: Open) -> None:
    session = visit(leaderboard)
    page = session.page
    opener = page.locator("#t1 table.differences tr[data-method=hcmoco] .open").first
    opener.click()
    assert page.locator("dialog h2").inner_text() == "hcmoco minus scratch"
    assert page.locator("dialog svg.chart g.ink path").count() == 6
    session.shot("desktop-difference")
    page.get_by_role("button", name="Record of scratch").click()
    assert page.locator("dialog h2").inner_text() == "scratch"
    page.keyboard.press("Escape")
    assert opener.evaluate("(e) => e === document.activeElement")


def test_on_a_phone_tables_scroll_alone_under_a_fixed_first_column(leaderboard: Path, visit: Open) -> None:
    session = visit(leaderboard, "phone", has_touch=True)
    page = session.page
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
    for opener in page.locator("table.scores .open").all()[::5]:
        opener.click()
        page.keyboard.press("Escape")
    page.select_option("select[name=encoder]", index=1)
    page.reload()
    assert len(rows(page)[0]) == 8
    assert page.evaluate("window.ran") is None
    session.shot(f"{size}-hostile", whole=True)


def test_without_scripts_all_is_readable(leaderboard: Path, visit: Open) -> None:
    session = visit(leaderboard, java_script_enabled=False)
    page = session.page
    assert page.locator("table.scores").count() == 4
    assert page.locator("button:visible, select:visible").count() == 0
    assert page.locator("#t1 table.scores td.number").first.inner_text().startswith("0.162 [")
    session.shot("desktop-without-scripts")


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


def test_print_leaves_the_controls_out(leaderboard: Path, visit: Open) -> None:
    session = visit(leaderboard)
    session.page.emulate_media(media="print")
    assert not session.page.locator("#filters").is_visible()
    assert session.page.locator("table.scores").first.is_visible()
    session.shot("print", whole=True)
