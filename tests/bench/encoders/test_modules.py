"""Modules that methods export: they come back without the method, from the project or from a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from bench.adapters.loading import address_of, load_adapter
from bench.adapters.sources import Place, digest
from bench.encoders.modules import build_module, load_module, module_spec, save_module
from bench.errors import AssetError, ConfigError, DataError
from bench.heads.mapper import DenseMapper, DenseMapperConfig
from bench.losses.alignment import DenseAlignment, DenseAlignmentConfig

OUTSIDE = """
from dataclasses import dataclass

from torch import nn

from bench.api import Module


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    width: int = 2


class Decoder(Module):
    Config = Config

    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        self.linear = nn.Linear(cfg.width, 1)
"""


def mapper() -> DenseMapper:
    return DenseMapper(DenseMapperConfig(channels=(3, 5), dim=4))


def test_a_module_comes_back_as_it_was_and_one_without_weights_does_too(tmp_path: Path) -> None:
    module = mapper()
    save_module("mapper", module, tmp_path)
    found = load_module("mapper", tmp_path)
    assert isinstance(found, DenseMapper) and found.cfg == module.cfg  # a tuple again, not a list
    assert torch.equal(found.linear.weight, module.linear.weight)
    cfg = DenseAlignmentConfig(dense="hard", cells=9)
    save_module("alignment", DenseAlignment(cfg), tmp_path)
    loss = load_module("alignment", tmp_path)
    assert isinstance(loss, DenseAlignment) and loss.cfg == cfg
    assert isinstance(build_module(json.loads(json.dumps(module_spec(module)))), DenseMapper)


def test_only_modules_that_can_be_rebuilt_are_exported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"module head is a Linear, not a subclass of bench\.api\.Module"):
        save_module("head", nn.Linear(2, 2), tmp_path)
    assert not list(tmp_path.iterdir())


def test_damage_is_named(tmp_path: Path) -> None:
    save_module("mapper", mapper(), tmp_path)
    whole = (tmp_path / "mapper.json").read_text()
    weights, card = tmp_path / "mapper.safetensors", tmp_path / "mapper.json"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(DataError, match=r"mapper\.safetensors is missing or differs from its description"):
        load_module("mapper", tmp_path)
    weights.unlink()
    with pytest.raises(DataError, match=r"mapper\.safetensors is missing"):
        load_module("mapper", tmp_path)
    for text in ("{", "[]", "{}", '{"spec": {}}'):
        card.write_text(text)
        with pytest.raises(DataError, match=r"mapper\.json is missing or damaged; run the pretraining"):
            load_module("mapper", tmp_path)
    card.write_text(whole.replace('"format": 1', '"format": 9'))
    with pytest.raises(DataError, match=r"mapper\.json has format 9, this version reads format 1"):
        load_module("mapper", tmp_path)
    card.unlink()
    with pytest.raises(DataError, match=r"mapper\.json is missing"):
        load_module("mapper", tmp_path)


def test_weights_of_another_shape_are_named(tmp_path: Path) -> None:
    save_module("mapper", mapper(), tmp_path)
    card = json.loads((tmp_path / "mapper.json").read_text())
    card["spec"]["config"]["dim"] = 6
    (tmp_path / "mapper.json").write_text(json.dumps(card))
    with pytest.raises(DataError, match=r"mapper\.safetensors does not fit what") as caught:
        load_module("mapper", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_class_of_a_folder_has_an_address_under_which_it_is_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "decoder.py").write_text(OUTSIDE)
    kind = load_adapter("decoder:Decoder", (str(folder),))
    assert (
        address_of(kind) == "decoder:Decoder" and address_of(DenseMapper) == "bench.heads.mapper:DenseMapper"
    )
    module = kind(kind.Config(width=3))
    save_module("decoder", module, tmp_path / "modules")
    found = load_module("decoder", tmp_path / "modules", (str(folder),))
    assert type(found).__name__ == "Decoder" and torch.equal(found.linear.weight, module.linear.weight)
    with pytest.raises(AssetError, match=r'code of "decoder:Decoder" is in none of the folders'):
        load_module("decoder", tmp_path / "modules")


def test_a_class_of_a_folder_is_known_by_its_code(tmp_path: Path) -> None:
    """Another folder has a file of the same name, and code changes after an export; helpers count, too."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder in (mine, other):
        folder.mkdir()
        (folder / "parts.py").write_text(OUTSIDE)
        (folder / "method.py").write_text("from parts import Decoder\n")
    (other / "parts.py").write_text(OUTSIDE.replace("width, 1)", "width, 1)\n        self.other = True"))
    kind = load_adapter("method:Decoder", (str(mine),))
    assert module_spec(kind(kind.Config()))["source"] == digest(Place(mine), "parts")
    save_module("decoder", kind(kind.Config()), tmp_path / "modules")
    found = load_module("decoder", tmp_path / "modules", (str(other), str(mine)))
    assert type(found) is kind and not hasattr(found, "other")
    (mine / "parts.py").write_text(OUTSIDE.replace("int = 2", "int = 2  # the same"))
    load_module("decoder", tmp_path / "modules", (str(mine),))
    (mine / "parts.py").write_text(OUTSIDE.replace("width, 1)", "width, 1, bias=False)"))
    with pytest.raises(AssetError, match=r'the code of "parts:Decoder" has changed'):
        load_module("decoder", tmp_path / "modules", (str(mine),))
    assert "source" not in module_spec(mapper())  # of the project: known by versions
