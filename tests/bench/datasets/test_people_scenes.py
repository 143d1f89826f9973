"""On pictures that are really rendered, at 48 pixels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import bench
from bench.api import Draws
from bench.data.augment import augment
from bench.data.batches import to_batch
from bench.data.opening import adapter_of, open_dataset
from bench.dataset import DataSpec
from bench.datasets.people_scenes import MOST, VERSION, PeopleScenes
from bench.errors import ConfigError

SIZE, COUNT = 48, 8


def spec_of(size: tuple[int, int] = (SIZE, SIZE), split: str = "train") -> DataSpec:
    return DataSpec.of(
        {
            "name": "people_scenes", "adapter": "bench.datasets.people_scenes:PeopleScenes",
            "version": VERSION, "config": {"seed": 0}, "size": list(size),
            "parts": [{"source": "d_scenes", "split": split, "samples": COUNT}],
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    PeopleScenes.prepare([spec_of()], folder)
    return folder


@pytest.fixture(scope="module")
def scenes(root: Path) -> PeopleScenes:
    found = open_dataset(spec_of(), root)
    assert isinstance(found, PeopleScenes)
    return found


def test_the_yaml_names_this_adapter_its_version_and_its_fields(scenes: PeopleScenes) -> None:
    path = Path(bench.__file__).parents[1] / "configs" / "dataset" / "people_scenes.yaml"
    given = yaml.safe_load(path.read_text())
    assert given["version"] == VERSION
    assert adapter_of({**given, "name": "people_scenes", "size": [32, 32], "parts": []}) is PeopleScenes
    assert sorted(given["fields"]) == sorted(scenes.fields)


def test_points_lie_on_their_person_and_say_what_the_maps_say(scenes: PeopleScenes) -> None:
    raw = scenes.batch(np.arange(COUNT), ["points", "point_chart", "point_uv", "person", "chart", "uv"])
    sample, point = np.nonzero(raw["point_chart"])
    assert len(sample) > 50 * COUNT
    row, column = raw["points"][sample, point].T
    np.testing.assert_array_equal(raw["person"][sample, row, column], point // 100 + 1)
    np.testing.assert_array_equal(raw["chart"][sample, row, column], raw["point_chart"][sample, point])
    np.testing.assert_array_equal(raw["uv"][sample, row, column], raw["point_uv"][sample, point])


def test_everybody_with_a_box_has_points(scenes: PeopleScenes) -> None:
    raw = scenes.batch(np.arange(COUNT), ["boxes", "point_chart", "person"])
    there = raw["boxes"][..., 2] > 0
    marked = (raw["point_chart"].reshape(COUNT, MOST, 100) > 0).any(2)
    np.testing.assert_array_equal(there, marked)
    np.testing.assert_array_equal(there.sum(1), raw["person"].max((1, 2)))


def test_each_picture_is_a_cluster(scenes: PeopleScenes) -> None:
    assert len(set(scenes.clusters.tolist())) == COUNT
    assert scenes.unit == "picture" and scenes.info.joint_set == ""


def test_mirrored_labels_stay_together(scenes: PeopleScenes) -> None:
    names = ("person", "boxes", "points", "point_chart", "point_uv", "chart", "uv")
    raw = scenes.batch(np.arange(COUNT), [*names, "rgb"])
    batch = to_batch(raw, ("rgb",), names, scenes.fields, "cpu", joint_set="")
    draws = Draws(generator=torch.Generator().manual_seed(1))
    once = augment(batch, scenes.fields, {"flip": True}, draws, joint_set="")
    flipped = once["crop"][:, 0, 0] < 0
    assert flipped.any() and not flipped.all()
    for n in range(COUNT):
        for k in range(MOST):
            rows, columns = torch.nonzero(once["person"][n] == k + 1).T
            box = once["boxes"][n, k].tolist()
            wanted = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else [0] * 4
            assert box == [float(edge) for edge in wanted]
        on = once["point_chart"][n] > 0
        row, column = once["points"][n, on].long().T
        assert torch.equal(once["chart"][n, row, column], once["point_chart"][n, on])
        torch.testing.assert_close(once["uv"][n, :, row, column].T, once["point_uv"][n, on])


def test_sheets_show_pictures_persons_and_surface(scenes: PeopleScenes) -> None:
    image = np.asarray(Image.open(io.BytesIO(scenes.sheet([0, 3]))))
    assert image.shape == (3 * SIZE, 2 * SIZE, 3)
    np.testing.assert_array_equal(image[:SIZE, SIZE:], scenes.batch([3], ["rgb"])["rgb"][0])


@pytest.mark.parametrize(("size", "split"), [((48, 32), "train"), ((48, 48), "pretrain")])
def test_what_there_is_not_is_refused(size: tuple[int, int], split: str) -> None:
    with pytest.raises(ConfigError):
        PeopleScenes.check(spec_of(size, split))
