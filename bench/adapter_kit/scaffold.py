"""Skeletons of adapters: one Python file, one YAML and one test that work as they are."""

from __future__ import annotations

import importlib.util
import keyword
import re
import shlex
import sys
from pathlib import Path

from bench.errors import ConfigError
from bench.files import write_atomic
from bench.grid.registry import BUILT_IN, config_dirs, names

TEMPLATES = Path(__file__).resolve().parent / "templates"
ROOT = BUILT_IN.parent
LONGEST = 40  # characters of a name


def write(kind: str, name: str, folder: Path | None) -> tuple[list[Path], list[str]]:
    """Write the skeleton of an adapter.

    Args:
        kind: `method`, `task`, `dataset` or `encoder`.
        name: of the adapter, its module and its YAML.
        folder: where adapters of one's own lie, made if missing; None = the project, for those who are in a
            checkout of it, and else the folder one is in.

    Returns:
        The files, and commands to go on with.

    Raises:
        ConfigError: the name cannot be used, or a file is there already; nothing was written.
    """
    inside = folder is None and Path.cwd() == ROOT and (ROOT / "pyproject.toml").is_file()
    place = ROOT if inside else (folder or Path()).resolve()
    packages = {
        "method": "methods",
        "task": "tasks",
        "dataset": "bench.datasets",
        "encoder": "bench.encoders",
    }
    package = packages[kind] if inside else ""
    module = f"{package}.{name}" if inside else name
    code = Path(*package.split("."))
    _check_name(kind, name, place, module)
    paths = {
        f"{kind}.py": place / code / f"{name}.py",
        f"{kind}.yaml": place / ("configs" if inside else "") / kind / f"{name}.yaml",
        f"test_{kind}.py.txt": place / (Path("tests") / code if inside else "") / f"test_{name}.py",
    }
    for path in paths.values():
        if path.exists():
            raise ConfigError(f"{path} is there already; choose another name, or remove it")
    texts = {path: _text(template, name, module, inside) for template, path in paths.items()}
    for path, text in texts.items():
        write_atomic(path, text)
    return list(paths.values()), _commands(kind, name, None if inside else place, paths)


def _text(template: str, name: str, module: str, inside: bool) -> str:
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    dirs = "[]" if inside else "[str(Path(__file__).parent)]"
    if "TEMPLATE_DIRS" in text and not inside:
        text = text.replace("\nimport ", "\nfrom pathlib import Path\n\nimport ", 1)
    text = text.replace("TEMPLATE_DIRS", dirs).replace("TEMPLATE_MODULE", module)
    return text.replace("TEMPLATE_NAME", name).replace("Template", _class_name(name))


def _class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _check_name(kind: str, name: str, place: Path, module: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name) or len(name) > LONGEST:
        raise ConfigError(
            f'{kind} "{name[:LONGEST]}": names are lower-case letters, digits and _, begin with a letter, '
            f"are no word of Python, and have at most {LONGEST} characters"
        )
    known = names(kind, config_dirs())
    if name in known:
        raise ConfigError(f'{kind} "{name}" is registered already: {known[name]}')
    top = module.partition(".")[0]
    if top == name and (name in sys.stdlib_module_names or _importable(name, place)):
        raise ConfigError(f'{kind} "{name}": there is a Python module of that name; choose another one')


def _importable(name: str, place: Path) -> bool:
    """Say whether a module of that name is found, other than in the folder itself."""
    spec = importlib.util.find_spec(name)
    return spec is not None and (spec.origin is None or Path(spec.origin).parent != place)


def _commands(kind: str, name: str, place: Path | None, paths: dict[str, Path]) -> list[str]:
    """Return what to do next, with words that are right from where one is."""
    away = f" --config-dir {shlex.quote(str(place))}" if place and place != Path.cwd() else ""
    grid = f"--methods {name},scratch --tasks densepose"
    if kind == "task":
        grid = f"--methods scratch --tasks {name}"
    if kind == "dataset":
        grid = f"--methods scratch --tasks parsing_rgb@{name}"
    if kind == "encoder":
        grid = f"--methods scratch,hcmoco --tasks densepose --encoders {name}"
    test = paths[f"test_{kind}.py.txt"]
    shown = test.relative_to(Path.cwd()) if test.is_relative_to(Path.cwd()) else test
    return [
        f"bench test-adapter {name}{away}",
        f"bench run {grid}{away}",
        f"pytest {shlex.quote(str(shown))}",
    ]
