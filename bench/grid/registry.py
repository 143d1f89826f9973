"""The registry: folders of YAMLs, one file per method, task, encoder, data set and preset."""

from __future__ import annotations

import fnmatch
import importlib.util
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bench.errors import ConfigError, nearest

BUILT_IN = Path(__file__).resolve().parents[2] / "configs"
ADAPTERS = ("method", "task", "dataset", "encoder")  # of code
GROUPS = (*ADAPTERS, "preset", "layout")

_FLOAT = re.compile(
    r"^[-+]?(?:\d[\d_]*\.?[\d_]*(?:[eE][-+]?\d+)|\d[\d_]*\.[\d_]*|\.[\d_]+(?:[eE][-+]?\d+)?)$"
)


def config_dirs(extra: Sequence[str] = ()) -> list[Path]:
    """Return the folders that hold YAML groups: the project's, installed packages', then `--config-dir`s.

    The folder one is in counts as such, too, where it holds YAMLs of methods or tasks.

    Raises:
        ConfigError: a folder does not exist or holds no group.
    """
    dirs = [BUILT_IN, *_installed()]
    for name in extra:
        path = Path(name).expanduser().resolve()
        if not path.is_dir():
            raise ConfigError(f"--config-dir {name}: no such folder")
        if not any((path / group).is_dir() for group in GROUPS):
            raise ConfigError(
                f"--config-dir {name}: holds none of the folders {', '.join(GROUPS)}; "
                "put method/<name>.yaml or task/<name>.yaml there"
            )
        if path not in dirs:
            dirs.append(path)
    here = Path.cwd()
    if here not in dirs and any(yamls(here / group) for group in ADAPTERS):
        dirs.append(here)
    return dirs


def yamls(folder: Path) -> list[Path]:
    """Return the YAMLs of a folder, sorted; hidden ones (locks and remains of editors) do not count.

    Raises:
        ConfigError: the name of one ends otherwise, so that it would not be found.
    """
    found = sorted(path for path in folder.glob("*.y*ml") if not path.name.startswith("."))
    for path in found:
        if path.suffix == ".yml":
            raise ConfigError(f"{path}: only files in .yaml are read; call it {path.stem}.yaml")
    return [path for path in found if path.suffix == ".yaml"]


def _installed() -> list[Path]:
    """Return the folders that installed packages name under the entry point `bench.configs`."""
    from importlib.metadata import entry_points

    dirs: list[Path] = []
    for point in entry_points(group="bench.configs"):
        spec = importlib.util.find_spec(point.value)
        places = [Path(p).resolve() for p in (spec.submodule_search_locations if spec else None) or ()]
        dirs += [place for place in places if place != BUILT_IN and place not in dirs]
    return dirs


def names(group: str, dirs: Iterable[Path]) -> dict[str, Path]:
    """Return the registered names of a group with their YAML files; later folders may not redefine a name.

    Raises:
        ConfigError: two folders define the same name, or a file ends in .yml.
    """
    found: dict[str, Path] = {}
    for folder in dirs:
        for path in yamls(folder / group):
            if path.stem in found:
                raise ConfigError(f'{group} "{path.stem}" is defined twice: {found[path.stem]} and {path}')
            found[path.stem] = path
    return found


def kind_of(name: str, kind: str | None, dirs: Iterable[Path]) -> str:
    """Return whether a name is that of a method, a task, a data set or an encoder.

    Args:
        name: of an adapter.
        kind: what it is said to be; None = not said.
        dirs: folders of the registry.

    Raises:
        ConfigError: nothing has the name, or several have and nobody says which is meant.
    """
    dirs = list(dirs)
    known = {group: names(group, dirs) for group in ADAPTERS if kind in (None, group)}
    found = [group for group, registered in known.items() if name in registered]
    if len(found) > 1:
        raise ConfigError(f'"{name}" is a {" and a ".join(found)}; say which with --kind')
    if not found:
        every = [known_name for registered in known.values() for known_name in registered]
        raise ConfigError(f'no {" or ".join(known)} is named "{name}".{nearest(name, every)}')
    return found[0]


def pick(text: str, group: str, known: Mapping[str, Path]) -> list[str]:
    """Expand a comma list with globs against the known names, in the order asked for.

    Raises:
        ConfigError: a word that names nothing, with the nearest known name; or no word at all.
    """
    chosen: list[str] = []
    for word in (w.strip() for w in text.split(",")):
        if not word:
            continue
        hits = fnmatch.filter(known, word) if any(c in word for c in "*?[") else [word] * (word in known)
        if not hits:
            raise ConfigError(f'unknown {group} "{word}".{nearest(word, known)}')
        chosen += [h for h in sorted(hits) if h not in chosen]
    if not chosen:
        raise ConfigError(f"no {group} asked for (--{group}s)")
    return chosen


def load(path: Path, group: str) -> dict[str, Any]:
    """Read one YAML of a group as plain data; a preset may stand under the key `preset`.

    Raises:
        ConfigError: unreadable, not YAML, or not plain data (text, numbers, booleans, null, lists, sections).
    """
    import yaml

    try:
        body = yaml.load(path.read_bytes(), _loader())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    if group == "preset" and isinstance(body, dict):
        body = body.get("preset", body)
    if body is None and group == "site":
        body = {}  # all of its keys may be left out
    if not isinstance(body, dict):
        raise ConfigError(f"{path}: holds no section of keys")
    return {str(name): plain(value, f"{path}: {name}") for name, value in body.items()}


def plain(value: Any, where: str) -> Any:
    """Return a copy of plain data in which nothing is shared (YAML aliases are one object twice).

    Raises:
        ConfigError: something else, e.g. a date, NaN or infinity.
    """
    if isinstance(value, dict):
        return {str(name): plain(item, f"{where}.{name}") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, where) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}: {value} is not a finite number")
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ConfigError(f"{where}: {value!r} is neither text nor number nor true, false, null; quote it")


@cache
def _loader() -> Any:
    """Return PyYAML's fast safe loader, which reads 1e-4 as a number and refuses a key that stands twice."""
    import yaml

    parent: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(parent):  # type: ignore[misc]  # its base is chosen above
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
            for key in keys:
                if keys.count(key) > 1:
                    raise yaml.constructor.ConstructorError(
                        None, None, f'key "{key}" stands twice', node.start_mark
                    )
            found: dict[Any, Any] = super().construct_mapping(node, deep)
            return found

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    return Loader
