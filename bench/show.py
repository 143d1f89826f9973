"""What `bench list`, `show`, `explain` and `logs` print. No torch."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.errors import ConfigError, DataError, nearest
from bench.grid.overrides import leaves
from bench.grid.registry import GROUPS, config_dirs, load, names
from bench.records.record import KINDS
from bench.records.store import read_failure


def summaries(group: str, extra: Sequence[str]) -> dict[str, str]:
    """Return the registered names of a group with the one-line summary of their YAML."""
    found = names(group, config_dirs(extra))
    return {name: str(load(path, group).get("summary", "")) for name, path in found.items()}


def show_name(name: str, extra: Sequence[str], store: Path) -> str:
    """Return the YAML registered under a name, or the record of the step with that key.

    Raises:
        ConfigError: neither a registered name nor a key of this store.
    """
    dirs = config_dirs(extra)
    known = {group: names(group, dirs) for group in GROUPS}
    found = [(group, paths[name]) for group, paths in known.items() if name in paths]
    if found:
        parts = [
            f"# {group} {name}: {path}\n{path.read_text(encoding='utf-8').rstrip()}" for group, path in found
        ]
        return "\n\n".join(parts)
    folder = find_step(store, name)
    if folder is None:
        every = [n for paths in known.values() for n in paths]
        close = nearest(name, every)
        if "Did you mean" not in close:
            close = f" `bench list methods` (or {', '.join(f'{group}s' for group in GROUPS[1:])}) tells the "
            close += f"{len(every)} names, `bench status` the keys."
        raise ConfigError(f'"{name}" is neither a registered name nor a key in {store}.{close}')
    for file in ("record.json", "failure.json", "spec.json"):
        if (folder / file).is_file():
            body = _read(folder / file)
            if isinstance(body.get("interval"), dict):
                body["interval"].pop("replicates", None)  # a thousand numbers; they stay in the file
            return f"# {folder / file}\n{json.dumps(body, indent=1)}"
    return f"# {folder}: nothing written yet"


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"{path} is unreadable ({type(error).__name__}); `bench run` makes it anew"
        ) from error


def find_step(store: Path, key: str) -> Path | None:
    """Return the folder of the step whose key starts with `key` (at least four hexadecimal digits).

    Raises:
        ConfigError: several steps match.
    """
    if not re.fullmatch(r"[0-9a-f]{4,16}", key):
        return None
    match = re.compile(rf".*-{key}[0-9a-f]{{{16 - len(key)}}}")
    hits = [f for kind in KINDS for f in (store / kind).glob(f"*-{key}*") if match.fullmatch(f.name)]
    if len(hits) > 1:
        some = ", ".join(hit.name for hit in hits[:5])
        raise ConfigError(f'"{key}" matches several steps: {some}; give more digits')
    return hits[0] if hits else None


def _folder(store: Path, key: str) -> Path:
    folder = find_step(store, key)
    if folder is None:
        raise ConfigError(f'no step with key "{key}" in {store}; bench status lists keys')
    return folder


def explain_keys(key_a: str, key_b: str, store: Path) -> str:
    """Return the entries in which two steps, or the steps they were computed from, differ; one line each."""
    left, right = (_entries(_folder(store, key), store) for key in (key_a, key_b))
    lines = [
        f"{name}: {_word(left, name)} -> {_word(right, name)}"
        for name in dict.fromkeys([*left, *right])
        if _word(left, name) != _word(right, name)
    ]
    return "\n".join(lines) if lines else "the two steps and all that they were computed from are equal"


def _word(entries: dict[str, Any], name: str) -> str:
    return json.dumps(entries[name]) if name in entries else "(absent)"


def _entries(folder: Path, store: Path) -> dict[str, Any]:
    """Return the spec of a step and, where it is done, those of its inputs, as dotted keys; inputs first.

    Stages of pretraining are told apart by their distance from the step: `pretrain`, `pretrain.before`, ...
    """
    kind = folder.parent.name
    source = folder / "record.json"
    record = _read(source) if source.is_file() else {"spec": _read(folder / "spec.json")}
    entries: dict[str, Any] = {}
    for key in record.get("inputs", ()):
        place = find_step(store, str(key))
        found = _entries(place, store) if place else {}
        entries |= {_before(name) if kind == "pretrain" else name: value for name, value in found.items()}
    return entries | {f"{kind}.{name}": value for name, value in leaves(record["spec"])}


def _before(name: str) -> str:
    return name.replace("pretrain.", "pretrain.before.", 1)


def step_logs(key: str, store: Path) -> str:
    """Return the log of a step followed by the traceback of its last failure."""
    folder = _folder(store, key)
    parts = [f"# {folder}"]
    if (folder / "log.txt").is_file():
        parts.append((folder / "log.txt").read_text(encoding="utf-8", errors="replace").rstrip())
    if failure := read_failure(folder):
        head = f"attempt {failure['attempt']} failed: {failure.get('message', '')}"
        parts.append(f"{head}\n{str(failure.get('traceback', '')).rstrip()}")
    return "\n".join(parts) if len(parts) > 1 else f"# {folder}: nothing logged"
