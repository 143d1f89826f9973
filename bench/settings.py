"""Typed settings: plain data of YAMLs and overrides against declared types, with messages of one line.

Types are msgspec Structs (what the harness reads) and frozen dataclasses (the `Config` of adapters); ranges
stand in their annotations, and `OffWhen` says which setting leaves which unread:

    steps: Count
    rate: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    file: Annotated[str, OffWhen(init="random")] = ""
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from bench.errors import ConfigError, nearest, told

T = TypeVar("T")

SIDES = (16, 1024)  # pixels of an image: neither thumbnails nor photographs

Count = Annotated[int, Meta(ge=1)]
Whole = Annotated[int, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Decay = Annotated[float, Meta(ge=0, lt=1)]  # of running means

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text; quote it",
    "bool": "true or false",
    "array": "a list",
    "object": "a section",
    "null": "null",
}
_BOUNDS = {">=": "of at least", "<=": "of at most", ">": "above", "<": "below"}


GIVEN = object()  # in `OffWhen`: any value but the empty one


class OffWhen:
    """Marks a setting that is not read when all of some other settings have certain values.

    Several marks on one setting switch it off each on its own.
    """

    def __init__(self, **switches: Any) -> None:
        """Name the switches: `OffWhen(dense=("off", "hard"))`, `OffWhen(joint=False, structure=False)`."""
        self.switches = {k: v if isinstance(v, tuple) else (v,) for k, v in switches.items()}

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Say whether it is off under some values."""
        return all(_is_one_of(values.get(name), off) for name, off in self.switches.items())


def _is_one_of(value: Any, off: tuple[Any, ...]) -> bool:
    return bool(value) if off == (GIVEN,) else value in off


def convert(values: Any, kind: type[T], where: str, join: str = ".") -> T:
    """Return plain data as an object of a type; lists become tuples, whole numbers floats where declared.

    Args:
        values: a section.
        kind: Struct or dataclass.
        where: how messages begin, e.g. the dotted key of the section.
        join: what stands between `where` and a key.

    Raises:
        ConfigError: a key is unknown (with the nearest known one) or missing, or a value is of another type
            or out of range.
    """
    if dataclasses.is_dataclass(kind) and isinstance(values, Mapping):
        known = _names(kind)
        for key in values:
            if key not in known:
                raise ConfigError(f'{where}: unknown key "{key}".{nearest(str(key), known)}')
    try:
        return msgspec.convert(values, kind)
    except ConfigError as error:  # the class has checked itself, and does not know for whom
        raise ConfigError(f"{where}: {error}") from None
    except msgspec.ValidationError as error:
        raise ConfigError(_message(str(error), values, kind, where, join)) from None
    except Exception as error:  # of a class that checks itself, and not by a ConfigError
        raise ConfigError(f"{where}: {told(error)}") from error


def check_read(changed: str, settings: Any, where: str) -> None:
    """Make sure that a setting which the user has changed is read at all.

    Args:
        changed: its name.
        settings: the section it is of, as `convert` returns it.
        where: the dotted key of the section.

    Raises:
        ConfigError: other settings switch it off.
    """
    kind = type(settings)
    whole = {name: getattr(settings, name) for name in _names(kind)}
    for mark in _marks(kind, changed):
        if mark.holds(whole):
            off = " and ".join(f"{name}={_text(whole[name])}" for name in mark.switches)
            change = " or ".join(_change(name, mark.switches[name], kind, where) for name in mark.switches)
            raise ConfigError(f"{where}.{changed}: is not read while {off}; set {change}, or leave it out")


def _change(name: str, off: tuple[Any, ...], kind: type, where: str) -> str:
    """Return what to set a switch to."""
    if off == (GIVEN,):
        return f"{where}.{name}=''"
    hint = _plain(typing.get_type_hints(kind).get(name))
    choices = (True, False) if hint is bool else typing.get_args(hint)
    others = [_text(choice) for choice in choices if choice not in off and isinstance(choice, str | bool)]
    return f"{where}.{name}={'|'.join(others)}" if others else f"another {where}.{name}"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value) or '""'


def _marks(kind: type, name: str) -> Iterator[OffWhen]:
    hint = typing.get_type_hints(kind, include_extras=True).get(name)
    yield from (mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, OffWhen))


def _names(kind: Any) -> list[str]:
    fields: Any = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else msgspec.structs.fields(kind)
    return [f.name for f in fields]


def _message(said: str, values: Any, kind: Any, where: str, join: str) -> str:
    """Turn msgspec's words into ours: key, value, what it should be."""
    text, _, place = said.partition(" - at `")
    of_key = place.startswith("key` in `")  # not a value of a section is wrong, but the name of one
    steps = re.findall(r"\.([^.\[`]+)|\[(\d+|\.\.\.)\]", place)
    names = []
    for name, index in steps:
        entry = _culprit(values, kind) if index == "..." else name or index
        names += [] if entry.isdecimal() else [entry]
        values, kind = _step(values, entry, kind)
    key = join.join([where, ".".join(names)]) if names else where
    if match := re.fullmatch(r"Object contains unknown field `(.+)`", text):
        return f'{key}: unknown key "{match[1]}".{nearest(match[1], _names(_plain(kind)))}'
    if match := re.fullmatch(r"Object missing required field `(.+)`", text):
        return f'{where}: "{".".join([*names, match[1]])}" is missing'
    if text.startswith("Invalid enum value"):
        chosen = text.removeprefix("Invalid enum value ").strip("'") if of_key else values
        return f'{key}: unknown "{chosen}".{nearest(str(chosen), _choices(kind, of_key))}'
    if match := re.fullmatch(r"Expected `array` of length (\d+).*", text):
        return f"{key}: {values!r} is not a list of {match[1]} values"
    if match := re.fullmatch(r"Expected `\w+` of length >= (\d+).*", text):
        return f"{key}: {values!r} is too short; at least {match[1]} needed"
    if match := re.fullmatch(r"Expected `([^`]+)`(?: (>=|<=|>|<) (\S+))?.*", text):
        words = " or ".join(_WORDS.get(word.strip(), word.strip()) for word in match[1].split("|"))
        bound = f" {_BOUNDS[match[2]]} {match[3].removesuffix('.0')}" if match[2] else ""
        return f"{key}: {values!r} is not {words}{bound}"
    return f"{key}: {text}"


def _choices(kind: Any, of_keys: bool) -> list[str]:
    """Return the words that a type allows: of a union, those of all its lists, or of all its sections."""
    kind = _plain(kind)
    if typing.get_origin(kind) is Literal:
        return [str(choice) for choice in typing.get_args(kind)]
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is dict:
        arguments = arguments[:1] if of_keys else arguments[1:]
    return [choice for argument in arguments for choice in _choices(argument, of_keys)]


def _culprit(values: Mapping[str, Any], kind: Any) -> str:
    """Return the key of a section whose value is wrong, which msgspec does not tell."""
    inner = typing.get_args(_plain(kind))[-1]
    for key, value in values.items():
        try:
            msgspec.convert(value, inner)
        except msgspec.ValidationError:
            return str(key)
    return next(iter(values), "")


def _step(values: Any, name: str, kind: Any) -> tuple[Any, Any]:
    """Go from a section or list, and its type, to an entry."""
    kind = _plain(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(values, list | tuple):
        first = origin is list or arguments[-1:] == (...,)
        return values[int(name)], arguments[0 if first else int(name)]
    inner = arguments[-1] if origin else typing.get_type_hints(kind, include_extras=True).get(name, Any)
    return values.get(name), inner


def _plain(hint: Any) -> Any:
    """Return a type without its annotations and without `| None`."""
    while typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    options = [option for option in typing.get_args(hint) if option is not type(None)]
    if len(options) == 1 and type(None) in typing.get_args(hint):
        return _plain(options[0])
    return hint
