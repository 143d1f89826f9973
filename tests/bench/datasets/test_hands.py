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
from bench.datasets.hands import FOREARM, HandRenderer, Hands
from bench.errors import ConfigError
from bench.synth.hand_domains import GENERATOR_VERSION, SOURCES
from bench.synth.hand_labels import vertices

SIZE = 48
COUNTS = {
    "lab_hands": ("pretrain", 16),
    "d_hand": ("train", 6),
    "d_gesture": ("train", 18),
    "d_grasp": ("test", 12),
}
GIVEN = yaml.safe_load((Path(bench.__file__).parents[1] / "configs" / "dataset" / "hands.yaml").read_text())


def spec_of(*sources: str, size: tuple[int, int] = (SIZE, SIZE), seed: int = 0) -> DataSpec:
    return DataSpec.of(
        {
            "name": "hands", "adapter": "bench.datasets.hands:Hands", "version": GENERATOR_VERSION,
            "config": {"seed": seed}, "size": list(size),
            "parts": [
                {"source": source, "split": COUNTS[source][0], "samples": COUNTS[source][1]}
                for source in sources
            ],
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hands")
    Hands.prepare([spec_of(*COUNTS)], folder)
    return folder


def opened(root: Path, *sources: str) -> Hands:
    found = open_dataset(spec_of(*sources), root)
    assert isinstance(found, Hands)
    return found


def test_the_yaml_names_this_adapter_its_version_fields_sources_and_pairs(root: Path) -> None:
    assert GIVEN["version"] == GENERATOR_VERSION
    assert adapter_of({**GIVEN, "name": "hands", "size": [32, 32], "parts": []}) is Hands
    assert GIVEN["sources"] == {name: list(source.domain.splits) for name, source in SOURCES.items()}
    for source in COUNTS:
        data = opened(root, source)
        has = set(data.fields)
        for kind in GIVEN["pairs"]:
            try:
                has |= {kind} if len(data.pairs(kind)) else set()
            except ConfigError as error:
                assert kind in str(error)
        assert sorted({*GIVEN["fields"], *GIVEN["pairs"]} - has) == sorted(GIVEN["lacks"][source])


def test_labels_of_one_source_are_absent_elsewhere(root: Path) -> None:
    data = opened(root, "d_gesture", "d_grasp")
    raw = data.batch(np.arange(30), ["gesture", "grasp", "best_view"])
    np.testing.assert_array_equal(raw["valid.gesture"], np.arange(30) < 18)
    np.testing.assert_array_equal(raw["valid.grasp"], np.arange(30) >= 18)
    np.testing.assert_array_equal(raw["valid.best_view"], np.arange(30) >= 18)
    assert data.classes is None and data.info.classes == 0
    assert not data.valid["kp2d"].any() and data.valid["rgb"].all() and data.valid["depth"].all()


def test_classes_are_of_whole_samples(root: Path) -> None:
    for source, name, classes in (("d_gesture", "gesture", 18), ("d_grasp", "grasp", 33)):
        data = opened(root, source)
        assert data.classes is not None and data.info.classes == classes
        np.testing.assert_array_equal(data.batch(np.arange(len(data)), [name])[name], data.classes)
        np.testing.assert_array_equal(data.classes, np.arange(len(data)) % classes)
    assert opened(root, "d_hand").classes is None


def test_clusters_are_users_and_groups_are_clips(root: Path) -> None:
    data = opened(root, "d_hand", "lab_hands")
    ids = data.batch(np.arange(len(data)), ["ids", "user"])
    np.testing.assert_array_equal(data.clusters, ids["ids"][:, 0])
    np.testing.assert_array_equal(data.clusters, ids["user"])
    np.testing.assert_array_equal(data.groups, ids["ids"][:, 2])
    assert data.unit == "user" and len(set(data.groups.tolist())) == 3 + 1  # type: ignore[union-attr]


def test_pairs_show_one_moment_or_one_camera(root: Path) -> None:
    data = opened(root, "lab_hands")
    ids = data.batch(np.arange(len(data)), ["ids"])["ids"]
    for kind, same, other in (("view", 3, 4), ("pose", 4, 3)):
        first, second = ids[data.pairs(kind).T]
        np.testing.assert_array_equal(first[:, [2, same]], second[:, [2, same]])
        assert (first[:, other] != second[:, other]).all()
    with pytest.raises(ConfigError, match="no pairs of kind pose"):
        opened(root, "d_hand").pairs("pose")


def test_masks_follow_from_the_phalanges(root: Path) -> None:
    raw = opened(root, "d_hand").batch(np.arange(6), ["phalanges", "mask", "hand_mask"])
    np.testing.assert_array_equal(raw["mask"], raw["phalanges"] > 0)
    np.testing.assert_array_equal(raw["mask"] & ~raw["hand_mask"], raw["phalanges"] == FOREARM)


def test_a_mirrored_batch_is_the_batch_of_the_other_hands(root: Path) -> None:
    """Labels after mirroring are those that a picture of the other hand would have."""
    data = opened(root, "d_gesture")
    names = ["keypoints", "joints3d", "rotations", "vertices", "camera", "side", "phalanges", "mask", "betas"]
    raw = data.batch(np.arange(18), [*names, "rgb"])
    batch = to_batch(raw, ["rgb"], names, data.fields, "cpu", joint_set=data.info.joint_set)
    draws = Draws(generator=torch.Generator().manual_seed(3))
    moved = augment(batch, data.fields, {"flip": True}, draws, joint_set="hand21")
    flipped = (moved["side"] != batch["side"]).numpy()
    assert 3 < flipped.sum() < 15 and set(moved["side"].tolist()) == {0, 1}
    for k in range(18):
        sign = torch.tensor([-1.0, 1.0, 1.0]) if flipped[k] else torch.ones(3)
        torch.testing.assert_close(moved["vertices"][k], batch["vertices"][k] * sign)
        torch.testing.assert_close(moved["joints3d"][k], batch["joints3d"][k] * sign)
        shown = batch["phalanges"][k].flip(-1) if flipped[k] else batch["phalanges"][k]
        torch.testing.assert_close(moved["phalanges"][k], shown)
        mesh = vertices(
            moved["rotations"][k].numpy(),
            raw["betas"][k],
            moved["joints3d"][k].numpy(),
            int(moved["side"][k]),
        )
        np.testing.assert_allclose(mesh, moved["vertices"][k].numpy(), atol=1e-5)
        place = moved["joints3d"][k] @ moved["camera"][k].T
        place = (place[:, :2] / place[:, 2:]).flip(-1)  # row, col
        torch.testing.assert_close(moved["keypoints"][k, :, :2], place, atol=0.02, rtol=0)


def test_turned_and_zoomed_vertices_project_to_their_pictures(root: Path) -> None:
    data = opened(root, "d_hand")
    names = ["vertices", "camera", "hand_mask", "rotations", "joints3d", "side", "betas"]
    raw = data.batch(np.arange(6), names)
    batch = to_batch(raw, [], names, data.fields, "cpu", joint_set="hand21")
    draws = Draws(generator=torch.Generator().manual_seed(0))
    strong = {"zoom": [0.8, 1.2], "rotation": 40.0, "shift": 0.05, "flip": True}
    moved = augment(batch, data.fields, strong, draws, joint_set="hand21")
    for k in range(6):
        place = moved["vertices"][k] @ moved["camera"][k].T
        column, row = (place[:, :2] / place[:, 2:]).floor().long().T
        inside = (column >= 0) & (row >= 0) & (column < SIZE) & (row < SIZE)
        on = moved["hand_mask"][k][row[inside], column[inside]].float().mean()
        assert on > 0.85  # the others lie at the outline, or behind what is held
        mesh = vertices(
            moved["rotations"][k].numpy(),
            raw["betas"][k],
            moved["joints3d"][k].numpy(),
            int(moved["side"][k]),
        )
        np.testing.assert_allclose(mesh, moved["vertices"][k].numpy(), atol=2e-5)


def test_sheets_show_pictures_and_labels(root: Path) -> None:
    for source in COUNTS:
        image = Image.open(io.BytesIO(opened(root, source).sheet([0, 3, 5])))
        assert image.size[0] >= 3 * 2 * SIZE and np.asarray(image).std() > 20


@pytest.mark.parametrize(("size", "what"), [((48, 64), "not square"), ((8, 8), "outside")])
def test_impossible_sizes_are_refused(size: tuple[int, int], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        Hands.check(spec_of("d_hand", size=size))


def test_other_seeds_are_other_data() -> None:
    with pytest.raises(ConfigError, match="seed"):
        Hands.check(spec_of("d_hand", seed=-1))
    assert HandRenderer(seed=1).name != HandRenderer(seed=0).name
