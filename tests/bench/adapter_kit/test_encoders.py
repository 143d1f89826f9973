"""Every check of an encoder finds the fault that is planted for it, and the skeleton has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.adapter_kit import check_encoder
from bench.adapter_kit.finding import Finding
from bench.adapter_kit.scaffold import write
from bench.errors import ConfigError

FAULTS: dict[str, tuple[str, str, str, str]] = {  # name: check, what it says, words of the skeleton, instead
    "none": ("builds as its YAML says", "can be built for no modality", 'not in ("rgb", "depth")', "!= 'x'"),
    "dice": ("builds as its YAML says", "blocks.0.0.weight is another one under the same seed",
             "self.feature_info =", "_ = torch.seed(), self.blocks[0][0].reset_parameters()\n"
             "        self.feature_info ="),
    "pooled": ("features are what it says", "pooled is (64,) per image, its feature_info says (7,)",
               "pooled=widths[-1]", "pooled=7"),
    "stride": ("features are what it says", "maps[0]", "strides=(4, 8, 16)", "strides=(8, 16, 32)"),
    "nan": ("features are what it says", "is not 3 finite rows", "pooled=x.mean((2, 3))",
            "pooled=x.mean((2, 3)) / 0"),
    "square": ("features are what it says", "maps[0] is (16, 16, 32) per image",
               "return Features(maps=tuple(maps[1:])",
               "maps = [m if m.shape[2] == m.shape[3] else m.mT for m in maps]\n"
               "        return Features(maps=tuple(maps[1:])"),
    "rows": ("rows do not depend on each other", "pooled of a row depends on the rows beside it",
             "pooled=x.mean((2, 3))", "pooled=x.mean((2, 3)) - x.mean((0, 2, 3))"),
    "unused": ("gradients", "no finite gradient reaches spare.weight", "self.feature_info =",
               "self.spare = nn.Linear(2, 2)\n        self.feature_info ="),
    "counter": ("a frozen one stays as it is", "std changes in evaluation mode",
                "x = (x - self.mean) / self.std", "self.std += 1e-3\n        x = (x - self.mean) / self.std"),
    "noise": ("a frozen one stays as it is", "maps[0] is another one the second time",
              "x = (x - self.mean) / self.std", "x = (x - self.mean) / self.std + torch.rand_like(x)"),
    "hidden": ("save and load", "maps[0] is another one after saving and loading",
               'self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))',
               "self.std = torch.rand(len(mean), 1, 1)"),
}  # fmt: skip


def planted(name: str, old: str, new: str, folder: Path) -> dict[str, Finding]:
    (source, _, _), _ = write("encoder", name, folder)
    text = source.read_text()
    assert old in text
    source.write_text(text.replace(old, new))
    return {found.check: found for found in check_encoder(name, [str(folder)])}


@pytest.fixture(autouse=True)
def _data(data_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(data_cache))


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found(fault: str, tmp_path: Path) -> None:
    check, said, old, new = FAULTS[fault]
    finding = planted(f"planted_net_{fault}", old, new, tmp_path)[check]
    assert finding.state == "failed" and said in finding.reason, finding


def test_the_skeleton_keeps_the_contract(tmp_path: Path) -> None:
    found = planted("planted_net", "TODO", "Done", tmp_path)
    assert [finding for finding in found.values() if finding.state != "ok"] == []


def test_an_unknown_name_is_one_line() -> None:
    with pytest.raises(ConfigError, match='unknown encoder "resnet11_w24"'):
        next(check_encoder("resnet11_w24"))
