"""Layouts: how the names in a file of weights become those of a network, as data; a YAML each, in `layout/`.

The names of a file are sorted once, in this order: the state dict is unwrapped; `module.` of data-parallel
training goes; a name that begins with the prefix is kept without it; others must match `drop`; kept names
that match `drop` go, too; what remains is renamed, joined and split. Nothing else is possible: a name that
is neither kept nor dropped is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from bench.errors import AssetError, ConfigError, nearest
from bench.settings import Whole, convert
from bench.weights.header import describe, is_entry, some

PARALLEL = "module."  # what data-parallel wrappers of torch put before every name
# what training scripts keep beside the weights; nothing of it is a weight of the network
BESIDE = (
    "epoch", "iter", "iteration", "step", "global_step", "arch", "args", "opt", "opts", "config", "cfg",
    "meta", "author", "hyper_parameters", "optimizer.*", "scaler", "amp", "scheduler", "lr_scheduler.*",
    "best.*", "loss.*", "version", "pytorch-lightning_version", "callbacks", "loops", "hparams_name",
    "metric.*", ".*_scaler", "param_schedulers", "message_hub",
)  # fmt: skip


class TensorRule(Struct, kw_only=True, forbid_unknown_fields=True):
    """How the axes of some tensors change; the shape in the end is the one before, but for `unsqueeze`."""

    match: str  # pattern of the new name
    view: list[int] = field(default_factory=list)  # shape seen in between; 0 = as it was, -1 = the rest
    order: list[int] = field(default_factory=list)  # of its axes
    unsqueeze: bool = False  # add a first axis


class Network(Struct, kw_only=True, forbid_unknown_fields=True):
    """For which network the weights are; what is left out is told by their shapes."""

    family: Literal["", "dinov3", "vit", "resnet", "hrnet", "swin"] = (
        ""  # whose shapes are looked at; "" = any
    )
    timm: str = ""  # name of one architecture
    adapter: str = ""  # of the encoder, where timm alone cannot express it
    heads: dict[str, Whole] = field(default_factory=dict)  # of a transformer, by its width
    patch: Whole = 0  # pixels of a patch; 0 = as in the weights
    patch_padding: Whole = 0
    config: dict[str, Any] = field(default_factory=dict)  # further keys of the encoder's config


class Layout(Struct, kw_only=True, forbid_unknown_fields=True):
    """A form in which weights are published."""

    summary: str = ""
    paper: dict[str, Any] | None = None
    url: str = ""
    licence: str = ""  # of the published files; an SPDX identifier where there is one
    trained_on: list[str] = field(default_factory=list)  # data sets of the published files
    # keys of the state dict, the first found; `a.b` is b inside a; "" = bare
    unwrap: list[str] = field(default_factory=lambda: [""])
    beside: list[str] = field(default_factory=list)  # further patterns of keys beside the state dict
    strip: list[str] = field(default_factory=lambda: [""])  # prefixes of names, the first found
    strip_depth: list[str] = field(default_factory=list)  # the same for an encoder of depth; [] = as colour
    drop: list[str] = field(default_factory=list)  # patterns of names that are expected and not used
    rename: list[tuple[str, str]] = field(default_factory=list)  # pattern, new name; the first that matches
    join: dict[str, list[str]] = field(default_factory=dict)  # parts of names joined along the first axis
    split: dict[str, list[str]] = field(
        default_factory=dict
    )  # ends of names cut into equal parts; "" = unused
    tensors: list[TensorRule] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)  # patterns; by a name for each of them a file is known
    absent: list[str] = field(default_factory=list)  # patterns of names that it never has
    shapes: dict[str, list[Whole]] = field(default_factory=dict)  # by new name; 0 = any size
    grid: list[Whole] = field(default_factory=list)  # height, width of the position table; [] = a square
    class_row: Literal["keep", "to_patches"] = (
        "keep"  # of the table: added to the patches where no class token
    )
    mean: list[float] = field(default_factory=list)  # of colour in 0..1 that the weights expect
    std: list[float] = field(default_factory=list)
    upsample: Literal["", "bilinear", "nearest"] = ""  # of HRNet's fusion; "" = the network's own
    network: Network = field(default_factory=Network)
    detect: bool = True  # False: taken only where it is named


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """What a layout makes of the names of a file."""

    used: Mapping[str, tuple[str, ...]]  # new name -> names in the file, several where they are joined
    parts: Mapping[str, tuple[int, int]]  # new name -> which of how many parts it is, where one is split
    dropped: tuple[str, ...]
    unknown: tuple[str, ...]  # neither used nor dropped


def parse(body: Mapping[str, Any], where: str) -> Layout:
    """Return a layout from plain data.

    Raises:
        ConfigError: a key is unknown or of a wrong type, or a pattern is none.
    """
    layout = convert(body, Layout, where)
    patterns = [*layout.beside, *layout.drop, *layout.marks, *layout.absent, *(r[0] for r in layout.rename)]
    for pattern in (*patterns, *(rule.match for rule in layout.tensors)):
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(f'{where}: "{pattern}" is no pattern ({error})') from None
    for pattern, new in layout.rename:
        if any(int(n) > re.compile(pattern).groups for n in re.findall(r"\\(\d+)", new)):
            raise ConfigError(f'{where}: "{new}" names a group that the pattern "{pattern}" has not')
    try:
        check_told(layout.mean, layout.std, layout.grid)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    for rule in layout.tensors:
        if sorted(rule.order) != list(range(len(rule.order))) or len(rule.order) not in (0, len(rule.view)):
            raise ConfigError(f"{where}: order {rule.order} is none of the axes of view {rule.view}")
    return layout


def check_told(mean: Sequence[float], std: Sequence[float], grid: Sequence[int]) -> None:
    """Check what a user tells of weights: their normalisation, and the grid of their position table.

    Raises:
        ConfigError: an impossible one.
    """
    if (mean or std) and (len(mean), len(std)) != (3, 3):
        raise ConfigError("give `mean` and `std` of weights together, three numbers each")
    if not all(0 <= value <= 1 for value in mean) or not all(0 < value <= 1 for value in std):
        raise ConfigError(
            f"mean {list(mean)} and std {list(std)} of weights are for colour in 0..1: they must lie "
            "there, std above 0; divide those of colour in 0..255 by 255"
        )
    if grid and (len(grid) != 2 or min(grid) < 1):
        raise ConfigError(f"grid {list(grid)} of weights must be [height, width] in patches")


def find_layout(name: str, known: Mapping[str, Layout]) -> Layout:
    """Return a layout by its name.

    Raises:
        ConfigError: there is none of the name.
    """
    if name not in known:
        raise ConfigError(f'unknown layout "{name}".{nearest(name, known)}')
    return known[name]


TOLD = ("summary", "paper", "url", "licence", "trained_on", "marks", "absent", "shapes", "detect", "network")


def plain(layout: Layout) -> dict[str, Any]:
    """Return what changes numbers in a layout as plain data, to be part of a key."""
    full, empty = msgspec.to_builtins(layout), msgspec.to_builtins(Layout())
    return {key: value for key, value in full.items() if value != empty[key] and key not in TOLD}


def sort(
    layout: Layout,
    content: Any,
    path: Path,
    modality: str = "rgb",
    is_tensor: Callable[[object], bool] = is_entry,
) -> tuple[Mapping[str, Any], Sorted]:
    """Sort the names of a file; return also the tensors by their names there.

    Raises:
        AssetError: the layout is not that of the file: no such key or prefix, or no names at all.
    """
    inner, beside = _unwrapped(layout, content, path, is_tensor)
    unknown = [*beside, *(f"{k} ({type(v).__name__})" for k, v in inner.items() if not is_tensor(v))]
    tensors = {str(k): v for k, v in inner.items() if is_tensor(v)}
    short = {name: name for name in tensors}
    if tensors and all(name.startswith(PARALLEL) for name in tensors):
        short = {name.removeprefix(PARALLEL): name for name in tensors}
    prefixes = layout.strip_depth if modality == "depth" and layout.strip_depth else layout.strip
    prefix = next((p for p in prefixes if any(name.startswith(p) for name in short)), None)
    if prefix is None:
        known = " or ".join(f'"{p}"' for p in prefixes)
        raise AssetError(f"{path}: no name begins with {known}; found {describe(content, is_tensor)}")
    drops = [re.compile(pattern) for pattern in layout.drop]
    renames = [(re.compile(pattern), new) for pattern, new in layout.rename]
    used: dict[str, list[str]] = {}
    dropped: list[str] = []
    for name, whole in short.items():
        kept = name.removeprefix(prefix) if name.startswith(prefix) else ""
        if any(drop.fullmatch(text) for drop in drops for text in {kept or name}):
            dropped.append(whole)
        elif not kept:
            unknown.append(whole)
        else:
            used.setdefault(_renamed(kept, renames), []).append(whole)
    for new, olds in used.items():
        if len(olds) > 1:
            raise AssetError(f"{path}: {olds[0]} and {olds[1]} are both {new}; keep one")
    joined = _joined(layout.join, {new: olds[0] for new, olds in used.items()})
    final, parts = _split(layout.split, joined)
    return tensors, Sorted(used=final, parts=parts, dropped=tuple(dropped), unknown=tuple(unknown))


def check_sorted(found: Sorted, path: Path, name: str) -> None:
    """Make sure that nothing of a file is left over.

    Raises:
        AssetError: lists what is neither used nor dropped; or nothing is used.
    """
    if found.unknown:
        raise AssetError(
            f"{path}: {len(found.unknown)} entries are neither used nor dropped by the layout "
            f"{name} ({some(list(found.unknown))}); choose another layout, or take them out of the file"
        )
    if not found.used:
        raise AssetError(f"{path}: the layout {name} finds no weights in it; choose another layout")


def _unwrapped(
    layout: Layout, content: Any, path: Path, is_tensor: Callable[[object], bool]
) -> tuple[Mapping[Any, Any], list[str]]:
    if not isinstance(content, Mapping) or not content:
        raise AssetError(
            f"{path}: found {describe(content, is_tensor)}, expected a dict of tensors; "
            "save the state dict alone"
        )
    for key in layout.unwrap:
        if key and (found := _inside(content, key)):
            fine = [re.compile(pattern) for pattern in (*BESIDE, *layout.beside)]
            return found[0], [k for k in found[1] if not any(p.fullmatch(k) for p in fine)]
        if not key and any(map(is_tensor, content.values())):
            return content, []
    wanted = " or ".join(f'"{key}"' if key else "bare tensors" for key in layout.unwrap)
    raise AssetError(f"{path}: found {describe(content, is_tensor)}, expected {wanted}")


def _inside(content: Mapping[Any, Any], key: str) -> tuple[Mapping[Any, Any], list[str]] | None:
    """Return the dict at a key, or at several joined by dots, and what lies beside the way to it."""
    beside: list[str] = []
    for word in [key] if key in content else key.split("."):
        inner = content.get(word)
        if not isinstance(inner, Mapping):
            return None
        beside += [str(k) for k in content if k != word]
        content = inner
    return content, beside


def _renamed(name: str, renames: Sequence[tuple[re.Pattern[str], str]]) -> str:
    for pattern, new in renames:
        if match := pattern.fullmatch(name):
            return match.expand(new)
    return name


def _joined(join: Mapping[str, Sequence[str]], used: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Put the parts of names such as `attn.q`, `attn.k`, `attn.v` together, in the place of the first."""
    found: dict[str, tuple[str, ...]] = {}
    gone: set[str] = set()
    for name, old in used.items():
        if name in gone:
            continue
        words = name.split(".")
        for whole, parts in join.items():
            if parts[0] in words[1:]:
                place = len(words) - 1 - words[::-1].index(parts[0])
                others = [".".join([*words[:place], part, *words[place + 1 :]]) for part in parts]
                if all(other in used for other in others):
                    gone.update(others)
                    found[".".join([*words[:place], whole, *words[place + 1 :]])] = tuple(
                        used[o] for o in others
                    )
                    break
        else:
            found[name] = (old,)
    return {new: olds for new, olds in found.items() if new not in gone or len(olds) > 1}


def _split(
    split: Mapping[str, Sequence[str]], used: Mapping[str, tuple[str, ...]]
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[int, int]]]:
    found: dict[str, tuple[str, ...]] = {}
    parts: dict[str, tuple[int, int]] = {}
    for name, olds in used.items():
        for end, news in split.items():
            if name.endswith(f".{end}"):
                for place, new in enumerate(news):
                    if new:
                        found[name.removesuffix(end) + new] = olds
                        parts[name.removesuffix(end) + new] = place, len(news)
                break
        else:
            found[name] = olds
    return found, parts
