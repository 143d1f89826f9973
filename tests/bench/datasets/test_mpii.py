"""On files in the usual formats that the tests write, the `.mat` by scipy."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from bench.dataset import DataSpec, Part
from bench.datasets.mpii import FILES, NAMES, Mpii, MpiiPeople, check_root, read_annotations
from bench.datasets.pictures import crop_box, held_out, read_picture
from bench.errors import ConfigError, DataError
from bench.grid import places

WIDTH, HEIGHT = 96, 64
SIZE = (32, 32)
# As the official file calls the joints
ABBREVIATED = [
    *("rank", "rkne", "rhip", "lhip", "lkne", "lank", "pelv", "thor"),
    *("neck", "head", "rwri", "relb", "rsho", "lsho", "lelb", "lwri"),
]

Bench = Callable[..., subprocess.CompletedProcess[str]]
Json = dict[str, Any]
Change = Callable[[Any], object]


def person(file: str, centre: tuple[float, float], scale: float = 0.1, lost: tuple[int, ...] = ()) -> Json:
    """Return an entry whose joints go down in a slant from the centre; some are not labelled."""
    joints = [[centre[0] + 0.5 * j, centre[1] + 0.25 * j - 2] for j in range(16)]
    return {
        "joints_vis": [0 if j in lost else 1 for j in range(16)],
        "joints": [[-1.0, -1.0] if j in lost else place for j, place in enumerate(joints)],
        "image": file,
        "scale": scale,
        "center": list(centre),
    }


def content(first: int = 1) -> list[Json]:
    """Five persons in three pictures: one without joints, one without a place."""
    names = [f"{first + i:09d}.jpg" for i in range(3)]
    return [
        person(names[2], (30.0, 20.0)),
        person(names[0], (40.0, 30.0), scale=0.15, lost=(0, 5)),
        person(names[0], (2.0, 60.0), scale=0.2),
        person(names[1], (50.0, 30.0), lost=tuple(range(16))),
        person(names[1], (-1.0, -1.0), scale=-1.0),
    ]


def heads_of(listed: list[Json]) -> Json:
    """Return what the official file holds on those persons: 16-bit boxes, all from 1."""
    joints = np.array([body["joints"] for body in listed])  # (N, 16, 2)
    boxes = np.stack([[[3, 4], [10 + n, 10]] for n in range(len(listed))], -1)  # 7 wide, 6 high, growing
    return {
        "dataset_joints": np.array([ABBREVIATED], dtype=object),
        "jnt_missing": 1 - np.array([body["joints_vis"] for body in listed], np.uint8).T,
        "pos_gt_src": joints.transpose(1, 2, 0),
        "headboxes_src": boxes.astype(np.uint16)[::-1],  # unsigned, and the corners the other way round
    }


def write(
    root: Path, part: str = "valid", listed: Any = None, style: int = 0, heads: Json | None = None
) -> Path:
    listed = content() if listed is None else listed
    path = root / NAMES[part][style]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(listed))
    if part == "valid":
        savemat(root / NAMES["heads"][style], heads_of(listed) if heads is None else heads)
    (root / "images").mkdir(exist_ok=True)
    for file in {body["image"] for body in listed}:
        noise = np.random.default_rng(int(file[:9])).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        Image.fromarray(noise).save(root / "images" / file, quality=95, subsampling=0)
    return path


@pytest.mark.parametrize("style", [0, 1])
def test_samples_are_persons_with_joints_in_order_of_the_list(tmp_path: Path, style: int) -> None:
    write(tmp_path, style=style)
    found = read_annotations(tmp_path, "valid")
    assert [p.entry for p in found.persons] == [1, 2, 3]
    assert (found.unlabelled, found.unplaced, found.unlike) == (1, 1, 0)
    first, second, _ = found.persons
    assert first.file == "000000003.jpg"
    assert first.keypoints[1].tolist() == [
        30.0,
        17.75,
        1,
    ]  # 30.5, 18.25 in the file
    assert second.keypoints[:, 2].tolist() == content()[1]["joints_vis"]
    assert [p.head for p in found.persons] == pytest.approx([0.6 * np.hypot(7 + n, 6) for n in range(3)])
    # side 200 * 0.1 around (30, 20 + 15 * 0.1), of which half a pixel goes
    assert first.box == pytest.approx((19.5, 11.0, 20.0, 20.0))
    write(tmp_path, "train", style=style)
    assert {p.head for p in read_annotations(tmp_path, "train").persons} == {0.0}


def test_joints_of_the_test_split_are_those_of_the_mat(tmp_path: Path) -> None:
    heads = heads_of(content())
    heads["pos_gt_src"][3, :, 0] += 0.25
    heads["jnt_missing"][4, 0] = 1
    heads["pos_gt_src"][4, :, 0] = np.nan
    write(tmp_path, heads=heads)
    found = read_annotations(tmp_path, "valid")
    assert found.unlike == 1
    assert found.persons[0].keypoints[3].tolist() == [31.25, 18.5, 1]
    assert found.persons[0].keypoints[4].tolist() == [0, 0, 0]


def change(key: str, value: Any) -> Change:
    return lambda listed: listed[1].update({key: value})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda listed: listed[1].pop("scale"), "person 2 lacks scale"),
        (lambda listed: listed.__setitem__(1, 7), "person 2 is no table of image"),
        (change("image", "../a.jpg"), r"person 2 has the picture '\.\./a\.jpg'"),
        (change("image", 7), "person 2 has the picture 7"),
        (change("center", [1, 2, 3]), "person 2 has the center"),
        (change("center", None), "person 2 has the center None"),
        (change("scale", 0), "person 2 has the scale 0"),
        (change("scale", [1, 2]), "person 2 has the scale"),
        (change("joints", [[1, 2]] * 15), "person 2 has other joints than 16 finite x, y"),
        (change("joints", [[1, 2]] * 15 + [[1, 2, 3]]), "person 2 has other joints than"),
        (change("joints", [["x", "y"]] * 16), "person 2 has other joints than"),
        (change("joints", 3), "person 2 has other joints than"),
        (change("joints_vis", [1] * 15), "person 2 has other joints_vis than 16 times 0 or 1"),
        (change("joints_vis", [2] * 16), "person 2 has other joints_vis than"),
        (change("center", [float("nan"), 2]), "is no valid JSON"),
    ],
)
def test_each_error_is_one_line_with_file_and_person(tmp_path: Path, damage: Change, message: str) -> None:
    path = write(tmp_path, "train")
    listed = content()
    damage(listed)
    path.write_text(json.dumps(listed))
    with pytest.raises(DataError, match=message) as caught:
        read_annotations(tmp_path, "train")
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_lists_that_are_none(tmp_path: Path) -> None:
    path = write(tmp_path, "train")
    for text, message in (("{}", "no list of persons"), ("[", "no valid JSON")):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            read_annotations(tmp_path, "train")
    path.unlink()
    with pytest.raises(DataError, match="does not exist"):
        read_annotations(tmp_path, "train")
    assert "there is neither" in check_root(tmp_path).problems[0]


def lost_joint(heads: Json) -> None:
    heads["pos_gt_src"][2, 0, 1] = np.nan


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda heads: heads.pop("headboxes_src"), "has no headboxes_src"),
        (
            lambda heads: heads.update(pos_gt_src=np.zeros((2, 16, 5))),
            r"has pos_gt_src of shape \(2, 16, 5\)",
        ),
        (lambda heads: heads.update(jnt_missing=np.array(["a"])), "has jnt_missing of shape"),
        (lambda heads: heads.update(jnt_missing=np.zeros((16, 4))), "tells of different numbers of persons"),
        (
            lambda heads: heads.update(headboxes_src=0 * heads["headboxes_src"]),
            r"has an empty head box, of person 1 \(5 such persons\)",
        ),
        (lost_joint, r"has a joint at no finite place, of person 2 \(1 such persons\)"),
        (
            lambda heads: heads.update({k: v[..., :4] for k, v in heads.items() if k != "dataset_joints"}),
            r"has the heads of 4 persons, .*valid\.json lists 5",
        ),
        (
            lambda heads: heads.update(pos_gt_src=heads["pos_gt_src"][:, :, [1, 0, 2, 3, 4]]),
            r"the joints of person 1 are not those in .*valid\.json \(2 such persons\)",
        ),
    ],
)
def test_faults_of_the_mat(tmp_path: Path, damage: Change, message: str) -> None:
    heads = heads_of(content())
    damage(heads)
    write(tmp_path, heads=heads)
    with pytest.raises(DataError, match=message) as caught:
        read_annotations(tmp_path, "valid")
    assert str(caught.value).startswith(str(tmp_path / NAMES["heads"][0]))
    assert "\n" not in str(caught.value)


def test_mat_files_that_are_none(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / NAMES["heads"][0]
    whole = path.read_bytes()
    hdf5 = b"MATLAB 7.3 MAT-file" + b" " * 105 + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n"
    for data, message in (
        (b"no MATLAB file at all" * 9, "no MATLAB file"),
        (whole[: len(whole) // 2], "no MATLAB file, or a damaged one"),
        (hdf5, "version 7.3"),
    ):
        path.write_bytes(data)
        with pytest.raises(DataError, match=message) as caught:
            read_annotations(tmp_path, "valid")
        assert str(path) in str(caught.value)
    path.unlink()
    with pytest.raises(DataError, match="does not exist; it has the head boxes"):
        read_annotations(tmp_path, "valid")


def test_producer_gives_crops_with_joints(tmp_path: Path) -> None:
    write(tmp_path)
    producer = pickle.loads(pickle.dumps(MpiiPeople(tmp_path)))
    assert producer == MpiiPeople(tmp_path)
    assert producer.clips("main", "test", 3) == 3
    clusters = [producer.cluster("main", "test", clip) for clip in range(3)]
    assert clusters[1] == clusters[2] != clusters[0]
    for clip, stored in enumerate(content()[:3]):
        row = producer.produce("main", "test", clip, SIZE)
        for name, field in producer.fields("main", SIZE).items():
            assert row[name].dtype == field.dtype, name
            assert row[name].shape == (1, *field.shape), name
        assert row["entry"].item() == clip + 1
        zoom = 32 / (200 * stored["scale"] * 1.25)
        assert row["crop_matrix"][0, 0, 0] == pytest.approx(zoom)
        centre = np.array(stored["center"]) - 0.5 + [0, 15 * stored["scale"]]  # is the middle of the crop
        seen = np.array(stored["joints_vis"], bool)
        expected = 16 + zoom * (np.array(stored["joints"]) - 0.5 - centre)
        np.testing.assert_allclose(row["keypoints"][0, seen, :2], expected[seen], atol=1e-4)
        assert not row["keypoints"][0, ~seen].any()
        assert (row["keypoints"][0, seen, 2] == 1).all()
        whole = read_picture(tmp_path / "images" / stored["image"])
        pixels, _ = crop_box(whole, row["box"][0], SIZE, 1.25)
        assert np.abs(row["rgb"][0].astype(int) - pixels).max() <= 1  # the stored box is rounded


def test_joint_lies_on_the_pixel_that_was_clicked(tmp_path: Path) -> None:
    """One white pixel, number (41, 31) from 1, and a joint there: the brightest pixel of an enlarged crop."""
    listed = [person("000000001.jpg", (40.0, 30.0), scale=0.05)]
    listed[0]["joints"][0] = [41.0, 31.0]
    write(tmp_path, "train", listed)
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[30, 40] = 255
    Image.fromarray(pixels).save(tmp_path / "images" / "000000001.png")
    listed[0]["image"] = "000000001.png"
    write_list = tmp_path / NAMES["train"][0]
    write_list.write_text(json.dumps(listed))
    split = "val" if held_out("000000001.png") else "train"
    row = MpiiPeople(tmp_path).produce("main", split, 0, (100, 100))  # 8 pixels for one
    rows, cols = np.nonzero(row["rgb"][0, ..., 0] > 127)
    middle = (cols.min() + cols.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2
    assert row["keypoints"][0, 0, :2] == pytest.approx(middle, abs=0.51)


def test_splits_hold_different_pictures(tmp_path: Path) -> None:
    listed = [person(f"{i % 300:09d}.jpg", (40.0, 30.0)) for i in range(600)]
    path = tmp_path / NAMES["train"][0]
    path.parent.mkdir()
    path.write_text(json.dumps(listed))
    producer = MpiiPeople(tmp_path)
    train, val = ({p.file for p in producer.persons(split)} for split in ("train", "val"))
    assert len(train | val) == 300 and not train & val
    assert val == {body["image"] for body in listed if held_out(body["image"])}
    assert 5 <= len(val) <= 28  # one in twenty
    assert len(producer.persons("val")) == 2 * len(val)
    assert [p.entry for p in producer.persons("val")] == sorted(p.entry for p in producer.persons("val"))


def test_wrong_requests(tmp_path: Path) -> None:
    write(tmp_path)
    producer = MpiiPeople(tmp_path)
    with pytest.raises(ConfigError, match="mpii/test has 3 persons with joints, 4 are wanted"):
        producer.clips("main", "test", 4)
    with pytest.raises(ConfigError, match=r'no split "tset"\. Did you mean "test"'):
        producer.persons("tset")
    (tmp_path / "images" / "000000003.jpg").unlink()
    with pytest.raises(DataError, match=r"does not exist.*\(person 1 of valid\)$"):
        producer.produce("main", "test", 0, SIZE)


def test_check_counts_and_names_all_problems(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, "train", content(3))
    seen: list[tuple[str, int, int]] = []
    found = check_root(tmp_path, lambda *step: seen.append(step))
    assert found.problems == ()
    assert found.text.splitlines() == [
        "train: 2 pictures, 3 persons, 1 unlabelled, 1 without a place",
        "valid: 2 pictures, 3 persons, 1 unlabelled, 1 without a place, "
        "0 joints labelled in one of JSON and .mat only, 1 pictures also in train",
    ]
    counts = found.counts["main"]
    assert counts["train"] + counts["val"] == counts["test"] == 3 and list(counts) == list(FILES)
    assert seen == [("train", 2, 2), ("valid", 2, 2)]

    heads = heads_of(content())
    heads["headboxes_src"][1] = 500  # whoever is larger is so for all
    write(tmp_path, heads=heads)
    assert check_root(tmp_path).digest != found.digest

    Image.new("RGB", (20, 9)).save(tmp_path / "images" / "000000001.jpg")
    (tmp_path / "images" / "000000003.jpg").write_bytes(b"no picture")
    problems = check_root(tmp_path).problems
    assert len(problems) == 4
    assert "this is no picture" in problems[0] and problems[0].endswith("(person 2 of train)")
    assert problems[1].endswith("copy it again (person 1 of valid)")
    assert "person 2 of valid lies outside the picture of 20 x 9 pixels" in problems[2]
    assert check_root(tmp_path).counts == {"main": {}}


def test_sheets_need_no_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "places.json"))
    found = Mpii.look_over(tmp_path)
    places.add("mpii", places.Registered(root=str(tmp_path), digest=found.digest, counts=found.counts))
    part = Part(source="main", split="test", samples=3)
    spec = DataSpec(
        name="mpii", adapter="", version=1, config={"files": found.digest}, size=SIZE, parts=(part,)
    )
    image = np.asarray(Image.open(io.BytesIO(Mpii.preview(spec, tmp_path / "data", [0, 2]))).convert("RGB"))
    assert image.shape == (4 * SIZE[0], 2 * 4 * SIZE[1], 3)
    assert (image == (0, 255, 0)).all(2).any() and not (image == (255, 0, 0)).all(2).any()


def test_from_files_to_a_score(tmp_path: Path, bench: Bench, small: tuple[str, ...]) -> None:
    """`bench data add`, then a grid on it: a row with PCKh."""
    rng = np.random.default_rng(0)

    def people(count: int, first: int) -> list[Json]:
        place = rng.uniform((20, 20), (70, 40), (count, 2))
        return [person(f"{first + i // 2:09d}.jpg", (x, y)) for i, (x, y) in enumerate(place.tolist())]

    files = tmp_path / "mpii"
    write(files, "train", people(400, 1))
    write(files, "valid", people(24, 900))
    own = {"BENCH_PLACES": str(tmp_path / "places.json"), "BENCH_DATA": str(tmp_path / "data")}
    added = bench("data", "add", "mpii", str(files), **own)
    assert added.returncode == 0, added.stderr
    assert "valid: 12 pictures, 24 persons" in added.stdout
    words = [word for word in small if "finetune" not in word]  # the task has steps and a batch of its own
    words += ["preset.finetune.samples={train: 40, val: 8, test: 24}", "preset.finetune.evaluations=2"]
    words += ["task.pose2d_pckh.finetune.steps=4", "task.pose2d_pckh.finetune.batch=8"]
    words += ["--store", str(tmp_path / "store")]
    done = bench("run", "--methods", "scratch", "--tasks", "pose2d_pckh@mpii", *words, **own)
    assert done.returncode == 0, done.stderr + done.stdout
    (record,) = (json.loads(path.read_text()) for path in tmp_path.glob("store/score/*/record.json"))
    values = {metric["name"]: metric["value"] for metric in record["metrics"]}
    assert list(values)[:2] == ["pckh", "pckh_01"]
    assert all(0 <= value <= 100 for value in values.values())
