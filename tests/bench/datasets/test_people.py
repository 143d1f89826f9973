"""On samples that are really rendered, at 32 pixels."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import bench
from bench.api import Draws
from bench.bodymodels.joints import JOINT_SETS
from bench.bodymodels.model import surrogate_body
from bench.bodymodels.rotations import axis_angle_to_matrix
from bench.bodymodels.surface import GARMENT_NAMES, P25_NAMES, surrogate_labels
from bench.data.augment import augment
from bench.data.batches import to_batch
from bench.data.opening import adapter_of, open_dataset
from bench.data.producer import rows_per_clip, sample_clusters, sample_ids
from bench.data.show import show
from bench.dataset import DataSpec
from bench.datasets.people import VERTICES, People, Renderer
from bench.errors import ConfigError
from bench.synth.clips import FIELDS, IDS
from bench.synth.domains import GENERATOR_VERSION

SOURCE = Renderer()
SPLITS = [(d, s) for d in SOURCE.sources() for s in SOURCE.splits(d)]
PARTS = [("lab_rgbd", "pretrain", 24), ("d_dense", "test", 4)]
SIZE = 32


def spec_of(parts: list[tuple[Any, ...]], size: tuple[int, int] = (SIZE, SIZE)) -> DataSpec:
    named = [dict(zip(("source", "split", "samples", "hide"), part, strict=False)) for part in parts]
    return DataSpec.of(
        {
            "name": "people", "adapter": "bench.datasets.people:People", "version": GENERATOR_VERSION,
            "config": {"seed": 0}, "size": list(size), "parts": named,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    People.prepare([spec_of(PARTS)], folder)
    return folder


@pytest.fixture(scope="module")
def people(root: Path) -> People:
    found = open_dataset(spec_of(PARTS), root)
    assert isinstance(found, People)
    return found


def test_the_yaml_names_this_adapter_and_version() -> None:
    path = Path(bench.__file__).parents[1] / "configs" / "dataset" / "people.yaml"
    given = yaml.safe_load(path.read_text())
    assert given["version"] == GENERATOR_VERSION == SOURCE.version
    assert adapter_of({**given, "name": "people", "size": [32, 32], "parts": []}) is People
    assert given["joint_set"] == People.joint_set


def test_no_person_is_in_two_splits_or_domains() -> None:
    persons = [set(sample_clusters(SOURCE, d, s, 3000).tolist()) for d, s in SPLITS]
    assert all(persons) and not any(a & b for a, b in itertools.combinations(persons, 2))
    ids = [name for d, s in SPLITS for name in sample_ids(SOURCE, d, s, 500)]
    assert len(set(ids)) == 500 * len(SPLITS)


def test_declared_arrays_are_those_of_the_renderer() -> None:
    for source in SOURCE.sources():
        declared = SOURCE.fields(source, (SIZE, SIZE))
        names = {"keypoints": "kp", "keypoints_detected": "keypoints_detected"}
        for name, field in declared.items():
            if not name.startswith("point"):
                dtype, shape = FIELDS[names.get(name, name)]
                assert (field.dtype, field.shape) == (np.dtype(dtype).name, shape(SIZE))
    assert set(FIELDS) <= {*SOURCE.fields("lab_rgbd", (SIZE, SIZE)), "kp", "keypoints_detected"}


def test_other_shapes_than_squares_are_refused_in_one_line(tmp_path: Path) -> None:
    for attempt in (lambda s: People.check(s), lambda s: People.prepare([s], tmp_path)):
        with pytest.raises(ConfigError, match=r"\[32, 48\] is not square") as caught:
            attempt(spec_of(PARTS, (32, 48)))
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="seed"):
        People.check(DataSpec.of({**vars_of(spec_of(PARTS)), "config": {"seed": -1}}))


def vars_of(spec: DataSpec) -> dict[str, Any]:
    return {
        "name": spec.name, "adapter": spec.adapter, "version": spec.version, "config": spec.config,
        "size": spec.size, "parts": [{"source": "d_dense", "split": "val", "samples": 1}],
    }  # fmt: skip


def test_clusters_are_persons_and_ids_say_the_clip(people: People) -> None:
    raw = people.batch(np.arange(28), ["ids"])
    np.testing.assert_array_equal(raw["ids"][:, IDS.index("identity")], people.clusters)
    clips = [name.split("-")[0] for name in people.ids]
    numbers = raw["ids"][:, IDS.index("clip")]
    assert len(set(zip(clips, numbers.tolist(), strict=True))) == len(set(clips)) == len(set(numbers)) == 4
    assert people.unit == "person"


def test_samples_do_not_depend_on_the_rest(people: People) -> None:
    assert rows_per_clip(SOURCE, "lab_rgbd") == 12
    alone = SOURCE.produce("lab_rgbd", "pretrain", 1, (SIZE, SIZE))
    for name in ("rgb", "depth", "keypoints", "keypoints_detected", "uv", "points", "betas"):
        np.testing.assert_array_equal(people.batch(np.arange(12, 24), [name])[name], alone[name])


def test_classes_are_looked_up_by_triangle(people: People) -> None:
    got = people.batch(np.arange(28), ["parts", "chart", "mask"])
    fid = np.stack([people.stored(row)["fid"] for row in range(28)])
    body, labels = fid >= 0, surrogate_labels()
    assert body.any() and (~body).any()
    np.testing.assert_array_equal(got["mask"], body)
    for name, table in (("parts", labels.p25), ("chart", labels.dp24)):
        np.testing.assert_array_equal(got[name][body], table[fid[body]])
        assert not got[name][~body].any() and got[name].dtype == np.uint8


def test_points_and_joints_lie_on_the_body(people: People) -> None:
    raw = people.batch(np.arange(28), ["points", "point_chart", "chart", "keypoints", "parts"])
    n, p = np.nonzero(raw["point_chart"])
    rows, columns = raw["points"][n, p].T
    assert len(n) > 28 * 20
    np.testing.assert_array_equal(raw["chart"][n, rows, columns], raw["point_chart"][n, p])
    n, j = np.nonzero(raw["keypoints"][..., 3] == 2)
    x, y = np.floor(raw["keypoints"][n, j, :2]).astype(int).T
    assert (raw["parts"][n, y, x] > 0).mean() > 0.9  # visible joints; pixels are counted alike


def test_modalities_make_batches(people: People) -> None:
    raw = people.batch(np.arange(28), ["rgb", "depth", "keypoints_detected"])
    lab = np.arange(28) < 24
    for name in ("depth", "kp2d", "keypoints_detected"):
        np.testing.assert_array_equal(raw[f"valid.{name}"], lab)
    assert raw["depth"].max() < 2**15 and not raw["depth"][24:].any()
    batch = to_batch(raw, ("rgb", "depth", "kp2d"), (), people.fields, "cpu", joint_set=people.info.joint_set)
    assert batch["kp2d"].shape == (28, len(JOINT_SETS["smpl24"]), 2)
    assert batch["kp2d"].abs().amax((1, 2)).tolist() == pytest.approx([1] * 24 + [0] * 4)


def projected(batch: dict[str, torch.Tensor], points: torch.Tensor) -> torch.Tensor:
    """(row, col) of points in the frame of the camera."""
    seen = points.double() @ batch["camera"].double().transpose(1, 2)
    return (seen[..., :2] / seen[..., 2:]).flip(-1)


GEOMETRY = ("keypoints", "joints3d", "vertices", "rotations", "camera", "betas")


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"flip": True},
        {"zoom": [0.6, 1.5], "shift": 0.2},
        {"crop_area": [0.3, 0.9]},
        {"rotation": 60.0},
        {"flip": True, "rotation": 45.0, "zoom": [0.7, 1.4], "shift": 0.1, "crop_area": [0.5, 1.0]},
    ],
    ids=lambda how: "+".join(how) or "as stored",
)
def test_joints_in_space_project_to_joints_in_the_picture(people: People, how: dict[str, Any]) -> None:
    """Whatever is done to the image: space, camera and image stay one scene."""
    raw = people.batch(np.arange(28), GEOMETRY)
    stored = to_batch(raw, (), GEOMETRY, people.fields, "cpu", joint_set="smpl24")
    draws = Draws(generator=torch.Generator().manual_seed(3))
    batch = augment(stored, people.fields, how, draws, joint_set="smpl24")
    torch.testing.assert_close(
        projected(batch, batch["joints3d"]).float(), batch["keypoints"][..., :2], atol=2e-3, rtol=1e-4
    )
    torch.testing.assert_close(batch["joints3d"][..., 2], batch["keypoints"][..., 2], atol=1e-5, rtol=1e-5)
    # the camera stays one without skew, with square pixels
    camera = batch["camera"]
    torch.testing.assert_close(camera[:, 0, 0], camera[:, 1, 1], rtol=1e-4, atol=0)
    assert camera[:, [0, 1], [1, 0]].abs().max() < 1e-3 * camera[:, 0, 0].min()
    assert torch.equal(camera[:, 2], torch.tensor([0.0, 0.0, 1.0]).expand(28, 3)) or (
        (camera[:, 2] - torch.tensor([0.0, 0.0, 1.0])).abs().max() < 1e-5
    )
    # the body that shape and rotations make is the one that is seen
    body = surrogate_body()
    for n in (0, 11, 27):
        rest, joints = body.shape(batch["betas"][n].numpy())
        turned = axis_angle_to_matrix(batch["rotations"][n].numpy())
        posed, moved, _ = body.pose(rest, joints, turned, np.zeros(3))
        offset = batch["joints3d"][n, 0].numpy() - moved[0]
        # the body is not its own mirror image to the last bit: 4 mm
        assert np.abs(moved + offset - batch["joints3d"][n].numpy()).max() < 4e-3
        assert np.abs(posed + offset - batch["vertices"][n].numpy()).max() < 1.5e-2


def test_left_never_becomes_right(people: People) -> None:
    """A left joint of the mirrored body is on the left of the body: the joints' own handedness stays."""
    names = JOINT_SETS["smpl24"].names
    raw = people.batch(np.arange(28), ["joints3d"])
    batch = to_batch(raw, (), ("joints3d",), people.fields, "cpu", joint_set="smpl24")

    def handedness(joints: torch.Tensor) -> torch.Tensor:
        hips, spine = (joints[:, names.index(n)] for n in ("left hip", "spine1"))
        across, up = hips - joints[:, names.index("right hip")], spine - joints[:, 0]
        ahead = joints[:, names.index("left foot")] - joints[:, names.index("left ankle")]
        return torch.sign((torch.linalg.cross(across, up) * ahead).sum(-1))

    before = handedness(batch["joints3d"])
    for seed in range(4):
        draws = Draws(generator=torch.Generator().manual_seed(seed))
        once = augment(batch, people.fields, {"flip": True, "rotation": 30.0}, draws, joint_set="smpl24")
        assert torch.equal(handedness(once["joints3d"]), before)


def test_actions_are_those_that_were_drawn(people: People) -> None:
    found = people.batch(np.arange(28), ["action"])["action"]
    drawn = [people.stored(row)["ids"][IDS.index("action")] for row in range(28)]
    assert found.dtype == np.uint8 and found.tolist() == drawn and len(set(drawn)) > 1


def test_the_other_camera_of_two_saw_the_same_moment(people: People) -> None:
    names = ["rgb", "chart", "uv"]
    raw = people.batch(np.arange(28), [*names, *(f"other_{name}" for name in names)])
    swapped = 24 + np.array([1, 0, 3, 2])  # of d_dense; lab_rgbd has three cameras
    for name in names:
        np.testing.assert_array_equal(raw[f"other_{name}"][24:], raw[name][swapped])
        assert raw[f"valid.other_{name}"].tolist() == [False] * 24 + [True] * 4
    assert people.batch([26], ["other_chart"])["other_chart"].any()


def test_garments_cover_the_body(people: People) -> None:
    raw = people.batch(np.arange(28), ["garments", "mask", "parts"])
    np.testing.assert_array_equal(raw["garments"] > 0, raw["mask"])
    head = raw["parts"] == P25_NAMES.index("head")
    worn = {GARMENT_NAMES[k] for k in np.unique(raw["garments"][head])}
    assert "face and neck" in worn and not worn & {"trousers", "left leg", "right shoe"}


def test_vertices_project_onto_the_silhouette(people: People) -> None:
    raw = people.batch(np.arange(28), ["vertices", "camera", "mask"])
    batch = to_batch(raw, (), ("vertices", "camera", "mask"), people.fields, "cpu", joint_set="smpl24")
    assert batch["vertices"].shape == (28, VERTICES, 3)
    row, col = projected(batch, batch["vertices"]).floor().long().unbind(-1)
    inside = (row >= 0) & (row < SIZE) & (col >= 0) & (col < SIZE)
    n = torch.arange(28)[:, None].expand_as(row)
    hit = batch["mask"][n[inside], row[inside], col[inside]].float().mean()
    assert hit > 0.85  # at borders rounding decides, and some stand behind something


def test_pairs_are_one_person_across_parts(people: People) -> None:
    raw = people.batch(np.arange(28), ["ids"])["ids"]
    column = {name: IDS.index(name) for name in IDS}
    for kind, same, differs in (("view", "frame", "camera"), ("pose", "camera", "frame")):
        pairs = people.pairs(kind)
        assert len(pairs) and (pairs[:, 0] < pairs[:, 1]).all()
        first, second = raw[pairs[:, 0]], raw[pairs[:, 1]]
        for name in ("clip", same):
            assert (first[:, column[name]] == second[:, column[name]]).all()
        assert (first[:, column[differs]] != second[:, column[differs]]).all()
    assert people.pairs("view").max() >= 24  # d_dense has two cameras
    with pytest.raises(ConfigError, match="no pairs of kind mirror"):
        people.pairs("mirror")


def test_data_without_pairs_say_so(root: Path) -> None:
    with pytest.raises(ConfigError, match="no pairs of kind pose"):
        open_dataset(spec_of([("d_dense", "test", 4)]), root).pairs("pose")  # single moments


def test_a_hidden_modality_is_gone_and_labels_stay(root: Path) -> None:
    data = open_dataset(spec_of([("lab_rgbd", "pretrain", 6, ["depth", "parts"]), PARTS[1]]), root)
    raw = data.batch(np.arange(10), ["depth", "parts", "mask"])
    assert not raw["valid.depth"].any() and not raw["depth"].any()
    assert raw["valid.parts"].tolist() == [False] * 6 + [True] * 4 and (raw["parts"][:6] == 255).all()
    assert raw["mask"][:6].any()
    batch = to_batch(raw, ("depth",), ("parts",), data.fields, "cpu", joint_set="smpl24")
    how = {"flip": True, "rotation": 30.0, "zoom": [0.5, 1.5]}
    once = augment(
        batch, data.fields, how, Draws(generator=torch.Generator().manual_seed(0)), joint_set="smpl24"
    )
    assert (once["parts"][:6] == 255).all() and once["parts"][6:].max() < 25


def test_sheets_are_drawn_alike_before_and_after_building(root: Path, tmp_path: Path) -> None:
    spec = spec_of([("lab_rgbd", "pretrain", 24)])
    half = spec_of([("lab_rgbd", "pretrain", 2), ("d_dense", "test", 4)])
    built = show([half, spec], root, tmp_path / "built")
    fresh = show([half, spec], tmp_path / "nothing", tmp_path / "fresh")
    assert [p.name for p in built] == ["people-lab_rgbd-pretrain.png", "people-d_dense-test.png"]
    assert not (tmp_path / "nothing").exists()  # nothing but the sheet is kept
    for one, other in zip(built, fresh, strict=True):
        images = [np.asarray(Image.open(io.BytesIO(path.read_bytes()))) for path in (one, other)]
        np.testing.assert_array_equal(*images)
        assert images[0].shape[1] >= 4 * SIZE and images[0].shape[0] >= 5 * SIZE
