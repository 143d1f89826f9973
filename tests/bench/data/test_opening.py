from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_producer import toy_spec, typed_spec

from bench.adapters.sources import Place, digest
from bench.data.opening import adapter_of, open_dataset, prepare, typed
from bench.errors import AssetError, ConfigError, DataError

PLAIN = toy_spec(("wild", "val", 5), ("lab", "val", 3, ["depth"]))


def test_plain_and_typed_specs_open_alike(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    assert prepare([PLAIN], tmp_path, on_progress=lambda a, b: told.append((a, b))) == 11
    assert told[0] == (0, 11) and told[-1] == (11, 11)
    plain = open_dataset(PLAIN, tmp_path)
    other = open_dataset(typed_spec(("wild", "val", 5), ("lab", "val", 3, ["depth"])), tmp_path)
    assert plain.ids == other.ids and not plain.valid["depth"].any()
    assert plain.info.flips == {name: field.flip for name, field in plain.fields.items()}
    assert plain.info.flips["parts"] == "p25" and plain.info.flips["rgb"] == ""
    np.testing.assert_array_equal(plain.batch([4, 7], ["rgb"])["rgb"], other.batch([4, 7], ["rgb"])["rgb"])


def test_several_specs_are_prepared_at_once(tmp_path: Path) -> None:
    specs = [PLAIN, toy_spec(("wild", "val", 9)), toy_spec(("wild", "val", 2), seed=3)]
    assert prepare(specs, tmp_path) == 6 + 9 + 2
    assert prepare(specs, tmp_path) == 0


def test_adapters_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="toy_producer has no Tooy"):
        open_dataset({**PLAIN, "adapter": "toy_producer:Tooy"}, tmp_path)
    with pytest.raises(ConfigError, match="not a subclass of bench"):
        open_dataset({**PLAIN, "adapter": "toy_producer:ToyProducer"}, tmp_path)
    assert adapter_of(PLAIN).__name__ == "Toy"


def test_code_that_changes_after_planning_is_refused(tmp_path: Path) -> None:
    """In every use of a spec; the new code opens under a spec, and so a key, of its own."""
    place = tmp_path.resolve() / "mine"
    place.mkdir()
    (place / "own_set.py").write_text("from toy_producer import Toy\n\n\nclass Own(Toy):\n    mark = 'a'\n")
    dirs = [str(place)]

    def planned() -> dict[str, object]:
        return {**PLAIN, "adapter": "own_set:Own", "source": digest(Place(place), "own_set")}

    before = planned()
    prepare([before], tmp_path, config_dirs=dirs)
    assert open_dataset(before, tmp_path, dirs).mark == "a"
    (place / "own_set.py").write_text("from toy_producer import Toy\n\n\nclass Own(Toy):\n    mark = 'b'\n")
    for use in (
        lambda: open_dataset(before, tmp_path, dirs),
        lambda: open_dataset(typed(before), tmp_path, dirs),
        lambda: prepare([before], tmp_path, config_dirs=dirs),
    ):
        with pytest.raises(AssetError, match=r'code of "own_set:Own" has changed since the grid was planned'):
            use()
    assert planned() != before and open_dataset(planned(), tmp_path, dirs).mark == "b"


def test_checking_and_opening_load_no_torch(tmp_path: Path) -> None:
    prepare([PLAIN], tmp_path)
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from bench.data.opening import adapter_of, open_dataset, typed\n"
        f"plain = {PLAIN!r}\nadapter_of(plain).check(typed(plain))\n"
        f"open_dataset(plain, Path({str(tmp_path)!r})).batch([0], ['rgb'])\n"
        "people = {**plain, 'adapter': 'bench.datasets.people:People', 'size': [32, 32], 'version': 3,\n"
        "          'parts': [{'source': 'd_dense', 'split': 'val', 'samples': 5, 'hide': ['parts']}]}\n"
        "adapter_of(people).check(typed(people))\n"
        "assert not {'torch', 'scipy', 'numba'} & sys.modules.keys(), sys.modules.keys()\n"
    )
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[3], env={"PYTHONPATH": here, "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_what_a_data_set_says_of_its_samples_is_one_value_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare([PLAIN], tmp_path)
    kind = adapter_of(PLAIN)
    opened = kind.__init__

    def careless(self: Any, *words: Any) -> None:
        opened(self, *words)
        self.clusters = np.zeros(3, np.int64)

    monkeypatch.setattr(kind, "__init__", careless)
    with pytest.raises(DataError, match=r"data set \w+: 3 clusters for 8 samples"):
        open_dataset(PLAIN, tmp_path)
