"""Rows that weights bring: `--weights NAME=FILE` becomes a method without training, on its encoder."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import ConfigError, nearest
from bench.grid.layouts import read_layouts
from bench.grid.registry import load, names
from bench.weights import hub
from bench.weights.detect import Found, examine
from bench.weights.layout import plain
from bench.weights.networks import PYRAMID, Guess, guess, of_timm
from bench.weights.packages import locate

ADAPTER = "methods.published:Published"
FILE = "file"  # config key of a stage that takes weights
OPTIONS = ("encoder", "layout", "licence", "trained_on", "grid")
TIMM = "timm:"  # begins the name of an architecture of timm in the place of a registered encoder's
# keys of an encoder's config that are no part of its architecture
_FREE = ("mean", "std", "bn_momentum", "channels_last", "pool", "positions", "out_indices")


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What one word of --weights asks for."""

    name: str  # of the method
    config: Mapping[str, Any]  # of its stage
    encoder: str  # that it runs on; "" = as the registered method says
    body: Mapping[str, Any] = field(default_factory=dict)  # of the method; {} = it is registered
    encoder_body: Mapping[str, Any] = field(default_factory=dict)  # {} = it is registered


def bring(words: Iterable[str], dirs: list[Path]) -> list[Brought]:
    """Resolve the words of --weights: `NAME=FILE[,encoder=E][,layout=L][,licence=...][,trained_on=A+B]
    [,grid=16x12]`.

    FILE is a path, `hf:OWNER/REPOSITORY` or `pkg:PACKAGE/FILE`. NAME is new, or that of a method which takes
    a file.

    Raises:
        ConfigError: a malformed word, an unknown name.
        AssetError: no such file, one that cannot be read, or one that no layout or network explains.
    """
    found: dict[str, Brought] = {}
    for word in words:
        name, equals, rest = word.partition("=")
        place, *options = re.split(rf",(?=(?:{'|'.join(OPTIONS)})=)", rest)
        if not equals or not place or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", name):
            raise ConfigError(
                f'--weights: "{word}" is not NAME=FILE; NAME begins with a letter and has at most '
                "64 letters, digits, _, . and -, e.g. ours=ckpt/ours.pth"
            )
        if name in found:
            raise ConfigError(f"--weights: {name} is given twice")
        given = _options(name, place, options)
        row = found[name] = _registered(name, place, given, dirs) or _new(name, place, given, dirs)
        for other in found.values():
            if other.encoder == row.encoder and other.encoder_body != row.encoder_body:
                raise ConfigError(
                    f"--weights: {other.name} and {name} are for different networks that are both called "
                    f"{row.encoder}; run them in two commands"
                )
    return list(found.values())


def _options(name: str, place: str, options: Iterable[str]) -> dict[str, str]:
    """Return the options of a word, each given once and not empty."""
    given: dict[str, str] = {}
    for option in options:
        key, _, value = option.partition("=")
        if key in given or not value:
            raise ConfigError(f"--weights {name}: {key}= is {'given twice' if key in given else 'empty'}")
        given[key] = value
    odd = re.search(r",(\w+)=", place)
    if odd and not expanded(place).exists():
        raise ConfigError(f'--weights {name}: unknown option "{odd[1]}".{nearest(odd[1], OPTIONS)}')
    if "grid" in given and not re.fullmatch(r"[1-9]\d{0,3}x[1-9]\d{0,3}", given["grid"]):
        raise ConfigError(
            f"--weights {name}: grid={given['grid']} is not HEIGHTxWIDTH in patches, e.g. 16x12"
        )
    return given


def _registered(name: str, place: str, given: Mapping[str, str], dirs: list[Path]) -> Brought | None:
    """Return a registered method with its file; None where no method has the name."""
    known = names("method", dirs)
    if name not in known:
        return None
    stages = load(known[name], "method").get("stages", {})
    taking = [s for s in stages.values() if isinstance(s, dict) and "layout" in s.get("config", {})]
    if len(taking) != 1 or len(stages) != 1:
        raise ConfigError(f"--weights: method {name} takes no file of weights; give the row another name")
    encoder = given.get("encoder", "")
    if encoder and encoder not in (encoders := names("encoder", dirs)):
        raise ConfigError(f'--weights {name}: unknown encoder "{encoder}".{nearest(encoder, encoders)}')
    return Brought(name=name, config={FILE: str(localise(place)), **_told(given)}, encoder=encoder)


def _new(name: str, place: str, given: Mapping[str, str], dirs: list[Path]) -> Brought:
    path = localise(place)
    published = _published(place)
    found = examine(path, read_layouts(dirs), given.get("layout", ""))
    known = {n: load(p, "encoder") for n, p in names("encoder", dirs).items()}
    told = _told(given)
    if "grid" in told and "pos_embed" not in found.shapes:
        raise ConfigError(f"--weights {name}: {path} has no position table; leave out grid={given['grid']}")
    encoder, body = _encoder(name, given.get("encoder", ""), published, _gridded(found, told), known)
    config = {
        FILE: str(path),
        "layout": given.get("layout", ""),
        "mean": published.get("mean") or [],
        "std": published.get("std") or [],
        "licence": str(published.get("license") or ""),
        "trained_on": [],
        "grid": [],
        "tag": "",
        "init": "published",
        **told,
    }
    kind = (body or known[encoder])["kind"]
    method = {
        "summary": f"weights of {place}",
        "encoders": {"rgb": "image", "depth": "image"},
        "gives": ["rgb", "depth"],
        "encoder_kinds": [kind],
        "brings": encoder,
        "stages": {"weights": {"adapter": ADAPTER, "version": 1, "budget_share": 0.0, "config": config}},
    }
    return Brought(name=name, config={}, encoder=encoder, body=method, encoder_body=body)


def _told(given: Mapping[str, str]) -> dict[str, Any]:
    """Return what the words say of the weights, as config."""
    told: dict[str, Any] = {key: given[key] for key in ("layout", "licence") if key in given}
    if "trained_on" in given:
        told["trained_on"] = [word for word in given["trained_on"].split("+") if word]
    if "grid" in given:
        told["grid"] = [int(side) for side in given["grid"].split("x")]
    return told


def _gridded(found: Found, config: Mapping[str, Any]) -> Found:
    """Return what a file is, with the grid of its position table that a config tells."""
    grid = config.get("grid")
    if not isinstance(grid, list) or not grid:
        return found
    return replace(found, layout=msgspec.structs.replace(found.layout, grid=grid))


def _encoder(
    name: str, asked: str, published: Mapping[str, Any], found: Found, known: Mapping[str, Mapping[str, Any]]
) -> tuple[str, Mapping[str, Any]]:
    """Return the encoder by name: a registered one, or a new one with its body."""
    if asked in known:
        if known[asked]["kind"] not in ("pyramid", "tokens"):
            raise ConfigError(f"--weights {name}: encoder {asked} reads no images; choose another")
        return asked, {}
    if asked and not asked.startswith(TIMM):
        raise ConfigError(
            f'--weights {name}: unknown encoder "{asked}".{nearest(asked, known)} For a network of '
            f"timm write encoder={TIMM}{asked}"
        )
    if asked == TIMM:
        raise ConfigError(f"--weights {name}: encoder={TIMM} names no network; write e.g. {TIMM}resnet26")
    architecture = asked.removeprefix(TIMM) or str(published.get("architecture") or "")
    guessed = (
        of_timm(architecture, found.layout) if architecture else guess(found.shapes, found.layout, found.path)
    )
    for other, body in known.items():
        if same_network(guessed, body):
            return other, {}
    if guessed.name in known:
        raise ConfigError(
            f"--weights {name}: its network {guessed.name} is not the registered encoder of that name; say "
            f"encoder={guessed.name} to load it there"
        )
    return guessed.name, guessed.body


def same_network(guessed: Guess, body: Mapping[str, Any]) -> bool:
    """Say whether a registered encoder has the architecture that weights are for."""
    if guessed.body["adapter"] != body["adapter"]:
        return False
    ours, theirs = guessed.body["config"], body["config"]
    usual = {"options": {}, "upsample": "", "patch_padding": 0}
    if body["adapter"] == PYRAMID:
        usual |= {"out_indices": [1, 2, 3, 4]}
        if list(theirs.get("out_indices", [1, 2, 3, 4])) != [1, 2, 3, 4]:
            return False
    keys = {key for key in (*ours, *theirs) if key not in _FREE}
    return all(ours.get(key, usual.get(key)) == theirs.get(key, usual.get(key)) for key in keys)


def localise(place: str) -> Path:
    """Return the local file of a place: a path, `hf:OWNER/REPOSITORY[/FILE]` or `pkg:PACKAGE/FILE`.

    Raises:
        AssetError: it is not there and cannot be fetched.
        ConfigError: a malformed place.
    """
    if place.startswith(hub.PREFIX):
        repo, file = hub.split(place)
        return hub.fetch(repo, (file,) if file else hub.FILES)
    if re.match(r"https?://", place):
        raise ConfigError(f'"{place}" is an address; download the file and name it, or hf:OWNER/REPOSITORY')
    return locate(place) or expanded(place)


def expanded(place: str) -> Path:
    """Return a path with the home of a user in the place of `~`, or as it is where nobody has that name."""
    try:
        return Path(place).expanduser()
    except RuntimeError:
        return Path(place)


def _published(place: str) -> dict[str, Any]:
    """Return what the hub says of weights of timm: architecture, mean, std, license."""
    if not place.startswith(hub.PREFIX):
        return {}
    repo, _ = hub.split(place)
    config = hub.fetch_config(repo)
    cfg = config.get("pretrained_cfg", {})
    owner, _, title = repo.partition("/")
    architecture = config.get("architecture") or (title.partition(".")[0] if owner == "timm" else "")
    return {"architecture": architecture, **{key: cfg.get(key) for key in ("mean", "std", "license")}}


def with_layouts(
    methods: Mapping[str, Mapping[str, Any]], dirs: list[Path], absent: Collection[str] = ()
) -> dict[str, dict[str, Any]]:
    """Put the layouts of weights files into the configs of stages, as data; so they are part of keys.

    Licence and data sets of a layout are taken over where the layout is named, not where it is only detected:
    others train networks of the same form. Files in `absent` are left alone.

    Raises:
        ConfigError: there is no such layout.
        AssetError: a file that cannot be read, or that its layout does not explain.
    """
    layouts = None

    def told(stage: Mapping[str, Any]) -> dict[str, Any]:
        nonlocal layouts
        config = stage["config"]
        file = config.get(FILE)
        if not file or file in absent or not isinstance(config.get("layout"), str):
            return dict(stage)
        layouts = layouts or read_layouts(dirs)
        found = examine(localise(str(file)), layouts, config["layout"])
        if found.layout.network.family:  # names its mistake, before anything is computed
            guess(found.shapes, _gridded(found, config).layout, found.path)
        more: dict[str, Any] = {"layout": {"name": found.name, **plain(found.layout)}}
        if config["layout"]:
            more["licence"] = config.get("licence") or found.layout.licence
            more["trained_on"] = config.get("trained_on") or found.layout.trained_on
        return {**stage, "config": {**config, **more}}

    return {
        name: {**method, "stages": {s: told(stage) for s, stage in method["stages"].items()}}
        for name, method in methods.items()
    }
