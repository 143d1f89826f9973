"""On files in the official format that the tests write."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.bodymodels.joints import JOINT_SETS
from bench.datasets.coco import (
    FILES,
    CocoPeople,
    annotation_file,
    check_root,
    read_annotations,
)
from bench.datasets.pictures import crop_box, held_out, read_picture
from bench.errors import ConfigError, DataError

NAMES = [name.replace(" ", "_") for name in JOINT_SETS["coco17"].names]
WIDTH, HEIGHT = 64, 48
SIZE = (32, 24)

Json = dict[str, Any]


def person(i: int, picture: int, box: list[float], visible: int = 17, **more: Any) -> Json:
    """Return an annotation whose joints stand in a row inside the box."""
    x, y, width, height = box
    joints = [[int(x + width * (j + 0.5) / 17), int(y + height / 2), 1 + j % 2] for j in range(visible)]
    flat = [number for joint in joints for number in joint] + [0, 0, 0] * (17 - visible)
    return {
        "id": i, "image_id": picture, "category_id": 1, "bbox": box, "area": 0.6 * width * height,
        "iscrowd": 0, "keypoints": flat, "num_keypoints": visible, "segmentation": [],
        **more,
    }  # fmt: skip


def content() -> Json:
    """Two pictures: two persons, a person without joints, a crowd, a person over the border."""
    return {
        "info": {},
        "licenses": [],
        "categories": [
            {"id": 1, "name": "person", "supercategory": "person", "keypoints": NAMES, "skeleton": []}
        ],
        "images": [
            {"id": 7, "file_name": "000000000007.jpg", "width": WIDTH, "height": HEIGHT},
            {"id": 3, "file_name": "000000000003.jpg", "width": WIDTH, "height": HEIGHT},
        ],
        "annotations": [
            person(50, 7, [10.0, 5.0, 20.0, 30.0]),
            person(12, 7, [-6.0, 30.0, 20.0, 18.0], visible=3),
            person(20, 7, [30.0, 5.0, 8.0, 9.0], visible=0),
            person(900, 3, [0.0, 0.0, 60.0, 20.0], visible=0, iscrowd=1, segmentation={"counts": []}),
            person(31, 3, [20.5, 8.25, 16.0, 32.0], visible=9),
        ],
    }


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def write(root: Path, part: str = "val2017", data: Json | None = None) -> Path:
    data = content() if data is None else data
    path = annotation_file(root, part)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    (root / part).mkdir(exist_ok=True)
    for entry in data["images"]:
        image = Image.fromarray(picture(entry["id"]))
        image.save(root / part / entry["file_name"], quality=95, subsampling=0)
    return path


def shifted(by: int) -> Json:
    """The same people under other ids."""
    data = content()
    for entry in data["images"]:
        entry["id"] += by
        entry["file_name"] = f"{entry['id']:012d}.jpg"
    for entry in data["annotations"]:
        entry["id"] += by
        entry["image_id"] += by
    return data


def test_samples_are_persons_with_joints_in_order(tmp_path: Path) -> None:
    found = read_annotations(write(tmp_path))
    assert [p.id for p in found.persons] == [31, 12, 50]
    assert [p.picture.id for p in found.persons] == [3, 7, 7]
    assert [p.id for p in found.unlabelled] == [20]
    assert [p.id for p in found.crowds] == [900]
    assert [p.id for p in found.pictures] == [3, 7]
    stored = content()["annotations"][4]
    first = found.persons[0]
    assert first.box == tuple(stored["bbox"])
    assert first.area == stored["area"]
    x, y, seen = stored["keypoints"][:3]
    assert first.keypoints[0].tolist() == [x + 0.5, y + 0.5, seen]


def test_flat_persons_are_left_out_and_counted(tmp_path: Path) -> None:
    data = content()
    data["annotations"][0]["area"] = 0
    data["annotations"][4]["bbox"][2] = 0
    found = read_annotations(write(tmp_path, data=data))
    assert [p.id for p in found.persons] == [12]
    assert [p.id for p in found.flat] == [31, 50]


def test_other_categories_are_passed_over(tmp_path: Path) -> None:
    data = content()
    data["categories"].append({"id": 18, "name": "dog"})
    data["annotations"].append({"id": 1, "image_id": 3, "category_id": 18})
    assert len(read_annotations(write(tmp_path, data=data)).persons) == 3


def broken(key: str, value: Any) -> Any:
    """Return a change of the first annotation."""

    def change(data: Json) -> None:
        data["annotations"][0][key] = value

    return change


def lacking(what: str, key: str) -> Any:
    def change(data: Json) -> None:
        del data[what][0][key]

    return change


def twice(what: str) -> Any:
    def change(data: Json) -> None:
        data[what].append(copy.deepcopy(data[what][0]))

    return change


def other_joints(data: Json) -> None:
    data["categories"][0]["keypoints"] = NAMES[::-1]


NAN = [float("nan"), 0, 2] + [0, 0, 0] * 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lacking("annotations", "bbox"), "annotation 50 lacks bbox"),
        (lacking("annotations", "keypoints"), "annotation 50 lacks keypoints"),
        (lacking("annotations", "id"), "annotation number 1 has no whole number as id"),
        (lacking("images", "width"), "picture 7 lacks width"),
        (broken("keypoints", [1, 2, 2] * 16), "annotation 50 has 48 numbers as keypoints, wanted 51"),
        (broken("keypoints", ["x"] * 51), "annotation 50 has no numbers as keypoints"),
        (broken("keypoints", [1e999, 0, 2] + [0] * 48), "keypoints"),
        (broken("keypoints", [1, 2, 3] * 17), "annotation 50 has a visibility other than 0, 1, 2"),
        (broken("num_keypoints", 4), "annotation 50 has 17 labelled joints, num_keypoints says 4"),
        (broken("bbox", [1, 2, -3, 4]), "annotation 50 has the box"),
        (broken("bbox", [1, 2, 3]), "annotation 50 has the box"),
        (broken("bbox", [100, 2, 3, 4]), "annotation 50 has the box .* outside its picture of 64 x 48"),
        (broken("bbox", [0, 0, 1e6, 4]), "annotation 50 has the box .* over twice its picture"),
        (broken("area", None), "annotation 50 has the area None"),
        (broken("area", -1.0), "annotation 50 has the area -1.0"),
        (broken("image_id", 8), "annotation 50 is of picture 8, which is not listed"),
        (twice("annotations"), "annotation 50 occurs 2 times"),
        (twice("images"), "picture 7 occurs 2 times"),
        (other_joints, "the joints of persons are"),
        (lambda data: data["categories"].clear(), "no category person"),
        (lambda data: data["images"][0].update(file_name="../a.jpg"), "picture 7 has the file name"),
        (lambda data: data["images"][0].update(width="64"), "picture 7 has the size 64 x 48"),
        (lambda data: data.pop("images"), "no list images"),
    ],
)
def test_each_error_is_one_line_with_file_and_entry(tmp_path: Path, change: Any, message: str) -> None:
    path = write(tmp_path)
    data = content()
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match=message) as caught:
        read_annotations(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    path = write(tmp_path)
    for text, message in (
        ("{", "no valid JSON"),
        ("[]", "no list images"),
        (json.dumps(NAN), "no valid JSON"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            read_annotations(path)
    path.unlink()
    with pytest.raises(DataError, match="does not exist"):
        read_annotations(path)


def test_many_problems_stay_one_line(tmp_path: Path) -> None:
    data = content()
    for entry in data["annotations"]:
        del entry["area"]
    with pytest.raises(DataError, match=r"and 2 more$"):
        read_annotations(write(tmp_path, data=data))


def test_producer_gives_crops_with_joints(tmp_path: Path) -> None:
    write(tmp_path)
    producer = pickle.loads(pickle.dumps(CocoPeople(tmp_path)))
    assert producer == CocoPeople(tmp_path)
    assert hash(producer) == hash(CocoPeople(tmp_path))
    assert producer.clips("main", "test", 3) == 3
    assert [producer.cluster("main", "test", clip) for clip in range(3)] == [3, 7, 7]
    for clip, stored in enumerate([content()["annotations"][i] for i in (4, 1, 0)]):
        row = producer.produce("main", "test", clip, SIZE)
        for name, field in producer.fields("main", SIZE).items():
            assert row[name].dtype == field.dtype, name
            assert row[name].shape == (1, *field.shape), name
        assert row["annotation_id"].item() == stored["id"]
        assert row["image_id"].item() == stored["image_id"]
        assert row["area"].item() == np.float32(stored["area"])
        np.testing.assert_array_equal(row["box"][0], np.float32(stored["bbox"]))
        given = np.array(stored["keypoints"], float).reshape(17, 3)
        np.testing.assert_array_equal(row["keypoints"][0, :, 2], given[:, 2])
        seen = given[:, 2] > 0
        there = np.concatenate([given[seen, :2] + 0.5, np.ones((seen.sum(), 1))], 1) @ row["crop_matrix"][0].T
        np.testing.assert_allclose(row["keypoints"][0, seen, :2], there[:, :2], atol=1e-4)
        assert not row["keypoints"][0, ~seen].any()
        listed = producer.persons("test")[clip].picture
        whole = read_picture(tmp_path / "val2017" / listed.file, listed.size)
        expected, _ = crop_box(whole, stored["bbox"], SIZE, 1.25)
        np.testing.assert_array_equal(row["rgb"][0], expected)


def test_padding_of_boxes_over_the_border_is_black(tmp_path: Path) -> None:
    write(tmp_path)
    row = CocoPeople(tmp_path).produce("main", "test", 1, SIZE)  # the box starts at x = -6
    zoom, _, move = row["crop_matrix"][0, 0]
    edge = int(move)  # crop pixels left of the picture
    assert edge >= 6 * zoom
    assert not row["rgb"][0, :, : edge - 1].any()
    assert row["rgb"][0, 2, edge + 2 :].any()


def test_splits_hold_different_pictures(tmp_path: Path) -> None:
    data: Json = {**content(), "images": [], "annotations": []}
    for i in range(1, 401):
        data["images"].append({"id": i, "file_name": f"{i}.jpg", "width": WIDTH, "height": HEIGHT})
        data["annotations"].append(person(1000 + i, i, [10.0, 5.0, 20.0, 30.0]))
    path = annotation_file(tmp_path, "train2017")
    path.parent.mkdir()
    path.write_text(json.dumps(data))
    producer = CocoPeople(tmp_path)
    train, val = ({p.picture.id for p in producer.persons(split)} for split in ("train", "val"))
    assert train | val == set(range(1, 401))
    assert not train & val
    assert 8 <= len(val) <= 34  # one in twenty
    assert val == {i for i in range(1, 401) if held_out(i)}


def test_wrong_requests(tmp_path: Path) -> None:
    write(tmp_path)
    producer = CocoPeople(tmp_path)
    with pytest.raises(ConfigError, match="coco/test has 3 persons with joints, 4 are wanted"):
        producer.clips("main", "test", 4)
    with pytest.raises(ConfigError, match=r'no split "tset"\. Did you mean "test"'):
        producer.persons("tset")
    with pytest.raises(DataError, match=r"person_keypoints_train2017\.json does not exist"):
        producer.clips("main", "train", 1)


def test_pictures_of_another_size_or_none_at_all(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "val2017" / "000000000003.jpg"
    whole = path.read_bytes()
    for damage, message in (
        (lambda: path.unlink(), "does not exist"),
        (lambda: path.write_bytes(b"no picture"), "no picture, or a damaged one"),
        (lambda: path.write_bytes(whole[: len(whole) // 2]), "damaged"),
        (lambda: Image.new("RGB", (9, 8)).save(path), "has 9 x 8 pixels, the annotations say 64 x 48"),
    ):
        damage()
        with pytest.raises(DataError, match=message) as caught:
            CocoPeople(tmp_path).produce("main", "test", 0, SIZE)
        assert str(path) in str(caught.value)
        assert str(caught.value).endswith("(annotation 31)")
        assert "\n" not in str(caught.value)


def test_check_counts_and_names_all_problems(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, "train2017", shifted(100))
    seen: list[tuple[str, int, int]] = []
    summary = check_root(tmp_path, lambda *step: seen.append(step))
    assert summary.problems == ()
    expected = {"pictures": 2, "persons": 3, "unlabelled": 1, "crowds": 1, "flat": 0}
    assert summary.counts == {part: expected for part in FILES.values()}
    assert all(len(digest) == 64 for digest in summary.sha256.values())
    assert seen == [("train2017", 2, 2), ("val2017", 2, 2)]

    (tmp_path / "val2017" / "000000000003.jpg").unlink()
    data = shifted(100)
    data["images"][0].update(id=7, file_name="000000000007.jpg")
    data["annotations"][0]["area"] = None
    for entry in data["annotations"][:3]:
        entry["image_id"] = 7
    write(tmp_path, "train2017", data)
    problems = check_root(tmp_path).problems
    assert len(problems) == 3
    for problem, part in zip(
        problems, ("has the area None", "does not exist", "in train2017, too"), strict=True
    ):
        assert part in problem
    annotation_file(tmp_path, "train2017").unlink()
    assert "does not exist" in check_root(tmp_path).problems[0]
