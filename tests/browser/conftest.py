"""A leaderboard page and a real browser without a window."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

BROWSER = Path("/usr/bin/chromium")
WORLDS = Path(__file__).resolve().parents[1] / "bench" / "report" / "conftest.py"
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}

Open = Callable[..., "Session"]


def worlds() -> Any:
    """Return the module that makes synthetic stores."""
    spec = spec_from_file_location("worlds", WORLDS)
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_page(records: list[Any], folder: Path, reference: str | None = "cmc") -> Path:
    """Write the report of these records; return the page."""
    from bench.report.write import report

    report(worlds().write(folder / "store", records), folder / "out", reference=reference)
    return folder / "out" / "leaderboard.html"


@pytest.fixture(scope="session")
def leaderboard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a grid like `leaderboards/tiny`, and of a second preset in which one row lacks runs."""
    made = worlds()
    effects = {"scratch": 25.0, "cmc": 31.0, "mae": 26.0, "mmv": 28.0}
    wide = made.world(effects, labels={"preset": "wide"})
    lacking = ("mmv", "1/10", 1), *(("mmv", "1", seed) for seed in range(3))
    kept = [r for r in wide if tuple(r["labels"][n] for n in ("method", "fraction", "seed")) not in lacking]
    return write_page([*made.tiny_world(), *kept], tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of methods whose names try to run scripts."""
    names = (
        "<script>window.ran = 1</script>", '"><img src=x onerror="window.ran = 1">', "</script><!--",
        "javascript:alert(1)", "x" * 200, "../../etc/passwd",
    )  # fmt: skip
    effects = {"scratch": 25.0, "cmc": 26.0} | {name: 27.0 + i for i, name in enumerate(names)}
    labels = {"encoder": "<svg onload='window.ran = 1'>" + "e" * 150, "task": "t" * 200}
    return write_page(worlds().world(effects, labels=labels), tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 15 methods on 20 tasks with three label shares."""
    from bench.report import figures

    made = worlds()
    effects = {"scratch": 25.0} | {f"method_{i}": 24.0 + i for i in range(14)}
    options = {
        "fractions": {"1/100": -8.0, "1/10": 0.0, "1": 8.0},
        "seeds": 1,
        "curve": [],
        "replicates": 100,
    }
    records = [
        r for i in range(20) for r in made.world(effects, labels={"task": f"task_{i}"}, stream=i, **options)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "plots", lambda *_, **__: [])  # they take a minute and are not looked at
        return write_page(records, tmp_path_factory.mktemp("wide"), reference=None)


class Session:
    """A page in a browser, with all that it requested and complained about."""

    def __init__(self, context: Any, path: Path) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page = context.pages[0]
        self.page.set_default_timeout(10_000)
        context.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.address = path.as_uri()
        self.page.goto(self.address)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def shot(self, name: str, *, whole: bool = False) -> None:
        """Keep a screenshot where `BENCH_SCREENSHOTS` says, if it does."""
        if folder := os.environ.get("BENCH_SCREENSHOTS"):
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=whole)


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    if not BROWSER.is_file():
        pytest.fail(f"no {BROWSER}; apt-get install --no-install-recommends chromium")
    with sync_playwright() as started:
        yield started


@pytest.fixture
def visit(playwright: Any, tmp_path: Path) -> Iterator[Open]:
    """Open pages with a fresh profile; in the end nothing may have been requested or gone wrong."""
    contexts: list[Any] = []
    sessions: list[Session] = []

    def start(path: Path, size: str = "desktop", **options: Any) -> Session:
        width, height = SIZES[size]
        context = playwright.chromium.launch_persistent_context(
            tmp_path / f"profile{len(contexts)}",
            executable_path=BROWSER,
            args=QUIET,
            viewport={"width": width, "height": height},
            **options,
        )
        contexts.append(context)
        sessions.append(Session(context, path))
        return sessions[-1]

    yield start
    for context in contexts:
        context.close()
    for session in sessions:
        assert session.complaints == []
        assert {url.partition("#")[0] for url in session.requests if not url.startswith("data:")} == {
            session.address
        }
