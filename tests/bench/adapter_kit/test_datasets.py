"""Every check of a data set finds the fault that is planted for it, and the skeleton has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.adapter_kit import check_dataset
from bench.adapter_kit.finding import Finding
from bench.adapter_kit.scaffold import write
from bench.errors import ConfigError

FAULTS: dict[str, tuple[str, str, str, str]] = {  # name: check, what it says, words of the skeleton, instead
    "short": ("opens as its YAML says", "has 5 samples, asked for 6", "range(part.samples)",
              "range(part.samples - 1)"),
    "twins": ("facts", "ids are not unique", "f\"{split}/{number}\"", "f\"{split}/{number // 2}\""),
    "leak": ("facts", "two parts share a sample", "f\"{split}/{number}\"", "str(number)"),
    "secret": ("facts", "sources is empty", "self.sources = frozenset(", "self.sources = frozenset() and ("),
    "shape": ("arrays", "parts is uint8 (6, 48, 48), declared uint8 (6, 24, 48)",
              '"parts": Field(dtype="uint8", shape=spec.size',
              '"parts": Field(dtype="uint8", shape=(24, 48)'),
    "position": ("arrays", "sample_id is not the position", '"sample_id": rows', '"sample_id": rows + 1'),
    "order": ("order and repetition", "rgb depends on which rows",
              "self._draw(*self.rows[row]) for row in rows",
              "self._draw('test', k) for k, row in enumerate(rows)"),
    "dice": ("order and repetition", "rgb ", "default_rng([SPLITS.index(split), number])", "default_rng()"),
    "wrap": ("bad rows and names", "row 6 of 6 is not refused", "rows = self.checked(rows, fields)",
             "rows = np.asarray(rows, np.int64) % len(self.rows)"),
}  # fmt: skip


def planted(name: str, old: str, new: str, folder: Path) -> dict[str, Finding]:
    (source, _, _), _ = write("dataset", name, folder)
    text = source.read_text()
    assert old in text
    if name.endswith("shape"):  # drawn at the size that is not declared
        text = text.replace("np.empty((len(rows), *field.shape), field.dtype)",
                            "np.empty((len(rows), *drawn[0][name].shape), field.dtype)")  # fmt: skip
    source.write_text(text.replace(old, new))
    return {found.check: found for found in check_dataset(name, [str(folder)])}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found(fault: str, tmp_path: Path) -> None:
    check, said, old, new = FAULTS[fault]
    finding = planted(f"planted_data_{fault}", old, new, tmp_path)[check]
    assert finding.state == "failed" and said in finding.reason, finding


def test_a_skeleton_has_no_fault(tmp_path: Path) -> None:
    found = planted("sound_data", "SPLITS", "SPLITS", tmp_path)
    assert len(found) == 6 and {f.state for f in found.values()} == {"ok"}, found


def test_data_of_a_users_files_are_not_checked_here() -> None:
    with pytest.raises(ConfigError, match="bench data check coco"):
        next(check_dataset("coco"))
