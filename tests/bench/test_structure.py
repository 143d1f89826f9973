"""How the code may depend on itself: read off the syntax trees and off fresh interpreters."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "torch",
    "pandas",
    "matplotlib",
    "numba",
    "scipy",
    "timm",
    "lightning_fabric",
    "numpy",
    "hydra",
    "omegaconf",
)
LIGHT = (
    "bench.adapters.config_class",
    "bench.adapters.sources",
    "bench.cli.data",
    "bench.cli.grid",
    "bench.cli.inspect",
    "bench.cli.main",
    "bench.errors",
    "bench.execute.arrays",
    "bench.execute.cluster",
    "bench.execute.follow",
    "bench.execute.job_status",
    "bench.execute.plans",
    "bench.execute.queue",
    "bench.execute.slurm",
    "bench.execute.stale",
    "bench.execute.status",
    "bench.execute.submissions",
    "bench.files",
    "bench.cli.weights",
    "bench.grid.brought",
    "bench.grid.checks",
    "bench.grid.layouts",
    "bench.grid.overrides",
    "bench.grid.plan",
    "bench.grid.registry",
    "bench.grid.request",
    "bench.grid.resources",
    "bench.grid.schema",
    "bench.grid.stages",
    "bench.records.claims",
    "bench.records.provenance",
    "bench.records.record",
    "bench.records.store",
    "bench.settings",
    "bench.show",
    "bench.weights.detect",
    "bench.weights.header",
    "bench.weights.hub",
    "bench.weights.layout",
    "bench.weights.networks",
    "bench.weights.packages",
)
GLOBAL_SEEDS = {
    "torch.manual_seed", "torch.random.manual_seed", "torch.seed", "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all", "torch.set_rng_state", "np.random.seed", "numpy.random.seed",
    "np.random.set_state", "random.seed", "lightning_fabric.seed_everything", "seed_everything",
}  # fmt: skip


@cache
def modules() -> dict[str, tuple[Path, ast.Module]]:
    """Return all modules of the three packages by dotted name."""
    found = {}
    for package in ("bench", "methods", "tasks"):
        for path in sorted((ROOT / package).rglob("*.py")):
            words = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(words[:-1] if words[-1] == "__init__" else words)
            found[name] = (path, ast.parse(path.read_text()))
    assert len(found) > 50
    return found


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the modules that are imported anywhere in a tree, `from a import b` as a.b as well as a."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def at_import(tree: ast.Module) -> Iterator[str]:
    """Yield what is imported when a module is: outside functions and `if TYPE_CHECKING`."""
    todo: list[ast.AST] = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += node.orelse
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from imports(node)
        else:
            todo += ast.iter_child_nodes(node)


def dotted(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""


def test_global_generators_are_seeded_in_one_place() -> None:
    found = {
        (name, dotted(node.func))
        for name, (_, tree) in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (dotted(node.func) in GLOBAL_SEEDS or "default_generator" in ast.unparse(node.func))
    }
    assert {name for name, _ in found} <= {"bench.train.seeding"}
    names = {target for name, (_, tree) in modules().items() for target in imports(tree)}
    assert not names & {
        "random",
        "torch.manual_seed",
        "numpy.random.seed",
        "lightning_fabric.seed_everything",
    }


def test_imports_point_one_way() -> None:
    wrong = []
    for name, (_, tree) in modules().items():
        package = name.partition(".")[0]
        for target in set(imports(tree)):
            other = target.partition(".")[0]
            if other in ("methods", "tasks") and other != package:
                wrong.append(f"{name} imports {target}")
            if package in ("methods", "tasks") and target.startswith(
                (
                    "bench.execute",
                    "bench.report",
                    "bench.records.store",
                    "bench.grid.plan",
                    "bench.grid.request",
                    "bench.cli",
                )
            ):
                wrong.append(f"{name} imports {target}")
    assert not wrong


def test_the_core_names_no_adapter_in_code() -> None:
    """Adapters are known by the YAMLs alone."""
    own = {p.stem for group in ("method", "task") for p in (ROOT / "configs" / group).glob("*.yaml")}
    assert len(own) > 5
    for name in (
        "grid.plan",
        "grid.stages",
        "grid.registry",
        "train.loop",
        "adapters.loading",
        "execute.local",
        "execute.job",
    ):
        tree = modules()[f"bench.{name}"][1]
        words = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        assert not words & own, name


def needed(name: str) -> set[str]:
    """Return the modules that must be whole before a module is; its own packages are open meanwhile."""
    known, found = modules().keys(), set()
    for target in at_import(modules()[name][1]):
        words = target.split(".")
        found |= {".".join(words[:n]) for n in range(1, len(words) + 1)} & known
    return {other for other in found if not f"{name}.".startswith(f"{other}.")}


def test_no_module_needs_itself() -> None:
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way, name))
        if name not in done:
            for other in sorted(needed(name)):
                visit(other, (*way, name))
            done.add(name)

    for name in modules():
        visit(name, ())
    for name, (_, tree) in modules().items():  # a module that takes a name from its own package's `__init__`
        for target in set(at_import(tree)) - modules().keys():
            package = target.rpartition(".")[0]
            assert not (name.startswith(f"{package}.") and package.count(".")), f"{name} takes {target}"


def test_no_room_needs_itself() -> None:
    """A room is a folder of `bench`, or a module beside them."""

    def room(module: str) -> str:
        return ".".join(module.split(".")[:2])

    needs: dict[str, set[str]] = {}
    for name, (_, tree) in modules().items():
        for target in set(imports(tree)) & modules().keys():
            if name != "bench" and room(target) not in ("bench", room(name)):
                needs.setdefault(room(name), set()).add(room(target))
    assert len(needs) > 15
    order = TopologicalSorter(needs).static_order()
    assert {"bench.api", "bench.grid", "bench.execute", "bench.report"} <= set(order)  # or CycleError


@pytest.mark.parametrize("name", LIGHT)
def test_planning_imports_nothing_heavy_at_module_level(name: str) -> None:
    found = {target.partition(".")[0] for target in at_import(modules()[name][1])}
    assert not found & set(HEAVY)


def loaded(*words: str) -> set[str]:
    """Run a command line in a fresh interpreter; return which heavy packages it has imported by the end."""
    code = (
        "import sys\nfrom bench.cli.main import main\n"
        f"try:\n    main({list(words)!r})\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('LOADED', *(m for m in {HEAVY!r} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("LOADED")[2].split())


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("run", "--help"),
        ("plan", "--methods", "hcmoco,cmc", "--tasks", "densepose", "--fractions", "0.1,1.0"),
        ("status", "--json", "--methods", "cmc"),
        ("cancel", "--methods", "cmc"),
        ("list", "methods"),
        ("show", "hcmoco"),
    ],
)
def test_quick_commands_load_nothing_heavy(words: tuple[str, ...], tmp_path: Path) -> None:
    store = (
        ("--store", str(tmp_path))
        if words[0] in ("plan", "status", "cancel", "show") and "--help" not in words
        else ()
    )
    assert loaded(*words, *store) == set()


def test_overrides_load_hydra_and_nothing_else(tmp_path: Path) -> None:
    words = ("plan", "--tasks", "densepose", "--store", str(tmp_path), "preset.size=32")
    assert loaded(*words) == {"hydra", "omegaconf"}
