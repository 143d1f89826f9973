from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from bench.data.people import People, part_ids
from bench.data.renderer import identities, rows_per_clip, sample_ids
from bench.data.synthetic import Synthetic
from PIL import Image

from bench.bodymodels.joints import JOINT_SETS
from bench.data import build as building
from bench.data.batches import to_batch
from bench.data.build import build, verify
from bench.data.show import show
from bench.synth.domains import GENERATOR_VERSION

Make = Callable[..., dict[str, Any]]
SOURCE = Synthetic()
SPLITS = [(d, s) for d in SOURCE.domains() for s in SOURCE.splits(d)]


def test_the_yaml_names_this_version_of_the_generator() -> None:
    path = Path(building.__file__).parents[2] / "configs" / "dataset" / "people.yaml"
    spec = yaml.safe_load(path.read_text())["spec"]
    assert spec["version"] == GENERATOR_VERSION == SOURCE.version
    assert spec["adapter"] == f"{People.__module__}:{People.__qualname__}"


def test_no_person_is_in_two_splits_or_domains() -> None:
    people = [set(identities(SOURCE, d, s, 3000).tolist()) for d, s in SPLITS]
    assert all(people) and not any(a & b for a, b in itertools.combinations(people, 2))
    ids = [name for d, s in SPLITS for name in sample_ids(SOURCE, d, s, 500)]
    assert len(set(ids)) == 500 * len(SPLITS)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    parts = [
        {"domain": d, "split": s, "samples": 4} for d, s in (("lab_rgbd", "pretrain"), ("d_dense", "test"))
    ]
    spec = {
        "adapter": "bench.data.people:People", "version": SOURCE.version, "seed": 0, "size": 32,
        "parts": parts,
    }  # fmt: skip
    root = tmp_path_factory.mktemp("people")
    build([spec], root, SOURCE)
    return spec, root


def test_rendered_people_make_consistent_batches(rendered: tuple[dict[str, Any], Path]) -> None:
    spec, root = rendered
    assert not verify(spec, root, SOURCE)
    people = People(spec, root)
    assert people.ids == part_ids(spec, 0) + part_ids(spec, 1)
    raw = people.batch(
        range(8), ["rgb", "depth", "kp_det", "kp", "ids", "parts", "points", "point_chart", "chart"]
    )
    np.testing.assert_array_equal(raw["ids"][:, 0], people.clusters)
    assert raw["ids"][:4, 2].tolist() == [raw["ids"][0, 2]] * 4  # one clip
    assert raw["depth"].max() < 2**15
    assert raw["valid.depth"].tolist() == [True] * 4 + [False] * 4 and not raw["depth"][4:].any()
    batch = to_batch(raw, ("rgb", "depth", "kp2d"), ("parts", "points", "point_chart"), "cpu")
    assert batch["kp2d"].shape == (8, len(JOINT_SETS[people.info.joint_set]), 2)
    assert batch["kp2d"].abs().amax((1, 2)).tolist() == pytest.approx([1] * 8)
    n, p = np.nonzero(raw["point_chart"])
    rows, columns = raw["points"][n, p].T
    np.testing.assert_array_equal(raw["chart"][n, rows, columns], raw["point_chart"][n, p])
    seen = raw["kp"][..., 3] == 2
    n, j = np.nonzero(seen)
    x, y = np.floor(raw["kp"][n, j, :2]).astype(int).T
    assert (
        raw["parts"][n, y, x] > 0
    ).mean() > 0.9  # visible joints lie on the body: pixels are counted alike


def test_samples_do_not_depend_on_the_rest(rendered: tuple[dict[str, Any], Path]) -> None:
    spec, root = rendered
    rows = rows_per_clip(SOURCE, "lab_rgbd")
    alone = SOURCE.render("lab_rgbd", "pretrain", 0, size=32, seed=0)
    assert len(alone["rgb"]) == rows >= 4
    stored = People(spec, root).batch(range(4), list(SOURCE.fields(32)))
    for name in SOURCE.fields(32):
        np.testing.assert_array_equal(stored[name], alone[name][:4])


def test_sheets_show_every_part(rendered: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    spec, root = rendered
    half = {**spec, "parts": [{**spec["parts"][0], "samples": 2}]}
    paths = show([half, spec], root, tmp_path / "sheets")
    assert [p.name for p in paths] == ["lab_rgbd-pretrain.png", "d_dense-test.png"]
    for path in paths:
        with Image.open(path) as sheet:
            assert sheet.width >= 4 * 32 and sheet.height >= 5 * 32
