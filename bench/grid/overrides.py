"""Overrides: `key=value` words in Hydra's grammar, applied to the YAMLs of a request.

Hydra parses the words and OmegaConf resolves interpolations. The YAMLs themselves are loaded without Hydra,
which takes half a second to import and to compose two dozen files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.errors import ConfigError, nearest
from bench.files import canonical, sha256_text
from bench.grid.registry import plain

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

_QUOTE = "text with = ( ) [ ] { } , # @ ~ or spaces goes into quotes: 'key=\"...\"'"
LABEL = 80  # characters of overrides that a label spells out
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}


def apply(config: dict[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """Apply overrides to a tree of plain data, in place, and resolve its interpolations.

    Args:
        config: sections by group and name; `method.cmc.stages.contrast.config.dim` is a key of it.
        words: `key=value` changes a key, `+key=value` adds one to a section, `~key` removes one.

    Returns:
        The keys whose values are now others than before, with the new values (None: removed).

    Raises:
        ConfigError: an unknown key (with the nearest one), a value of another type, or a malformed word.
    """
    if not words and "${" not in repr(config):
        return {}
    before = dict(leaves(config))
    for word in words:
        _apply(config, word, _parse(word, config))
    if "${" in repr(config):
        _interpolate(config)
    after = dict(leaves(config))
    changed = [k for k in (after | before) if k not in before or k not in after or after[k] != before[k]]
    return {key: after.get(key) for key in sorted(changed) if "${" not in str(before.get(key))}


def leaves(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys of all values of a tree; an empty section counts as a value."""
    for name, item in section.items():
        if isinstance(item, dict) and item:
            yield from leaves(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", item


def describe(changes: Mapping[str, Any], prefixes: Mapping[str, str]) -> str:
    """Return overrides as short text for a label.

    Args:
        changes: dotted keys with their new values, from `apply`.
        prefixes: which keys, by how they begin, and what is shown instead of that beginning.
    """
    words = [
        f"{shown}{key.removeprefix(prefix).removeprefix('stages.')}={canonical(value)}".replace('"', "")
        for prefix, shown in prefixes.items()
        for key, value in changes.items()
        if key.startswith(prefix)
    ]
    text = ", ".join(words)
    return text if len(text) <= LABEL else f"{len(words)} overrides, {sha256_text(text)[:8]}"


def _parse(word: str, config: Mapping[str, Any]) -> Override:
    """Parse a word; the value of a key that holds text may be anything, e.g. a path with `=` and brackets."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    try:
        override = parser.parse_override(word)
    except HydraException as error:
        quoted = _quoted(word, config)
        if not quoted:
            how = f"; {_QUOTE}" if "=" in word else ""
            raise ConfigError(
                f'"{word}" is not an override; write key=value, e.g. preset.size=32{how}'
            ) from error
        override = parser.parse_override(quoted)
    if not override.key_or_group:
        raise ConfigError(f'"{word}" is not an override; write key=value, e.g. preset.size=32')
    if override.is_sweep_override():
        name = override.key_or_group
        raise ConfigError(f'"{word}": one value per key; for a list write {name}=[...]; {_QUOTE}')
    return override


def _quoted(word: str, config: Mapping[str, Any]) -> str:
    """Return a word with its value in quotes where its key holds text; "" where it does not."""
    key, sign, value = word.partition("=")
    if not sign or not isinstance(dict(leaves(config)).get(key.lstrip("+")), str):
        return ""
    escaped = re.sub(r"(\\*)(\"|$)", lambda m: 2 * m[1] + ('\\"' if m[2] else ""), value)
    return f'{key}="{escaped}"'


def _apply(config: dict[str, Any], word: str, override: Override) -> None:
    """Change, add or remove one key."""
    key = str(override.key_or_group)
    *way, last = key.split(".")
    section: Any = config
    for name in way:
        section = section.get(name) if isinstance(section, dict) else None
    adds = (override.is_add() or override.is_force_add()) and bool(way)
    present = isinstance(section, dict) and (last in section or adds)
    if not present or override.package is not None:
        hint = _hint(key, config)
        if isinstance(section, dict) and way and not override.is_delete() and "Did you mean" not in hint:
            hint += f" To add a key to a section: +{key}=..."
        raise ConfigError(f'unknown override "{key}".{hint}')
    if override.is_delete():
        del section[last]
        return
    value = plain(override.value(), word)
    if override.is_add() and not override.is_force_add() and last in section:
        raise ConfigError(f'"{word}": {key} exists; write {key}=... to change it')
    section[last] = fit(section[last], value, key) if last in section else value


def _hint(key: str, config: Mapping[str, Any]) -> str:
    """Return the nearest key, or what else is wrong."""
    known = [name for name, _ in leaves(config)]
    ends = [name for name in known if name.endswith(f".{key}")]
    if ends:
        return f' Did you mean "{ends[0]}"?'
    group, name = (*key.split("."), "", "")[:2]
    if isinstance(config.get(group), dict) and group != "preset" and name and name not in config[group]:
        return f" {group} {name} is not part of this grid.{nearest(name, config[group])}"
    way, _, last = key.rpartition(".")
    siblings = {
        name.removeprefix(f"{way}.").partition(".")[0] for name in known if name.startswith(f"{way}.")
    }
    if way and siblings:  # the section exists
        return nearest(last, siblings).replace('"', f'"{way}.', 1)  # a single name gets its section
    close = nearest(key, known)
    return (
        close if "Did you mean" in close else " bench show NAME lists the keys of a preset, method or task."
    )


def fit(old: Any, new: Any, key: str) -> Any:
    """Return a new value in the type of the old one, so that `1` and `1.0` end in one key.

    Raises:
        ConfigError: the new value is of another type.
    """
    if old is None or new is None or _interpolates(old) or _interpolates(new):
        return new
    if isinstance(old, dict):
        return _merge(old, new, key)
    if isinstance(old, list) and isinstance(new, list):
        same = {type(item) for item in old}
        typed = len(same) == 1 and not same & {dict, list, type(None)}
        return [fit(old[0], item, key) for item in new] if typed else new
    if isinstance(old, int | float) and not isinstance(old, bool) and isinstance(new, list):
        return [fit(old, item, key) for item in new]  # e.g. height and width; the schema says where
    if isinstance(new, bool) == isinstance(old, bool):
        if isinstance(old, float) and isinstance(new, int):
            return float(new)
        if isinstance(old, int) and isinstance(new, float) and new.is_integer():
            return int(new)
        if isinstance(new, type(old)):
            return new
    raise ConfigError(f"{key}: {new!r} is not {_KINDS[type(old)]}; the default is {old!r}")


def _merge(old: Mapping[str, Any], new: Any, key: str) -> dict[str, Any]:
    if not isinstance(new, dict):
        raise ConfigError(f"{key}: is a section, not a value; its keys: {', '.join(old)}")
    for name in new:
        if old and name not in old:
            raise ConfigError(f'unknown override "{key}.{name}".{nearest(name, old)}')
    return {**old, **{name: fit(old.get(name), item, f"{key}.{name}") for name, item in new.items()}}


def _interpolates(value: Any) -> bool:
    return isinstance(value, str) and "${" in value


def _interpolate(config: dict[str, Any]) -> None:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        resolved = OmegaConf.to_container(OmegaConf.create(config), resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"configuration: {' '.join(str(error).split())}") from error
    assert isinstance(resolved, dict)
    config.update((str(name), plain(value, str(name))) for name, value in resolved.items())
