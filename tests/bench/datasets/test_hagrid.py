"""On files in the format of version 1 that the tests write."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.data import subset
from bench.data.opening import open_dataset
from bench.dataset import DataSpec, Part
from bench.datasets.hagrid import (
    Config,
    Hagrid,
    HagridHands,
    check_root,
    picture_folder,
    read_annotations,
)
from bench.datasets.pictures import crop_box, held_out, read_picture
from bench.errors import ConfigError, DataError
from bench.grid import places
from bench.synth.hand_poses import GESTURES

WIDTH, HEIGHT = 40, 30
SIZE = (24, 24)
BOX = [0.25, 0.2, 0.3, 0.4]

Json = dict[str, Any]
Bench = Callable[..., subprocess.CompletedProcess[str]]


def entry(gesture: str, user: str, **more: Any) -> Json:
    return {
        "bboxes": [[0.7, 0.6, 0.2, 0.3], BOX],
        "landmarks": [[], [[0.3, 0.4]] * 21],
        "labels": ["no_gesture", gesture],
        "leading_hand": "right",
        "leading_conf": 1.0,
        "user_id": user,
        **more,
    }


def name_of(*words: Any) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(map(str, words))))


def write(root: Path, part: str, users: int, folder: str = "{part}/{gesture}") -> None:
    """Write a part in which each user shows each gesture once."""
    annotations = root / f"ann_{part}"
    annotations.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    for gesture in GESTURES:
        ids = [name_of(part, gesture, k) for k in range(users)]
        entries = {i: entry(gesture, f"{part}-{k}") for k, i in enumerate(ids)}
        (annotations / f"{gesture}.json").write_text(json.dumps(entries))
        pictures = root / folder.format(part=part, gesture=gesture)
        pictures.mkdir(parents=True, exist_ok=True)
        for k, i in enumerate(ids):
            Image.fromarray(np.roll(noise, k, 1)).save(pictures / f"{i}.jpg", quality=90)


def changed(path: Path, change: Callable[[Json], Any]) -> Path:
    entries = json.loads(path.read_text())
    change(entries)
    path.write_text(json.dumps(entries))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty training users and three of the test part."""
    root = tmp_path_factory.mktemp("hagrid")
    write(root, "train_val", 40, "train_val_{gesture}")
    write(root, "test", 3)
    return root


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """The file of one gesture, of three pictures."""
    path = tmp_path / "call.json"
    path.write_text(json.dumps({f"id{k}": entry("call", f"u{k}") for k in (2, 0, 1)}))
    return path


def test_sample_is_the_box_with_the_label_of_the_file(call: Path) -> None:
    found = read_annotations(call)
    assert (found.gesture, found.ids, found.users) == ("call", ("id0", "id1", "id2"), ("u0", "u1", "u2"))
    np.testing.assert_array_equal(found.boxes, [BOX] * 3)
    again = read_annotations(changed(call, lambda data: data["id0"].update(labels=["call", "call"])))
    assert again.boxes[0].tolist() == [0.7, 0.6, 0.2, 0.3]  # the first one


def first(**values: Any) -> Callable[[Json], None]:
    return lambda data: data["id0"].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (first(labels=["no_gesture", "fist"]), "id0 has no box with the label call, only no_gesture, fist"),
        (first(labels=["call"]), "id0 has 2 bboxes and 1 labels"),
        (first(labels="call"), "id0 lacks a list of bboxes or of labels"),
        (lambda data: data["id0"].pop("bboxes"), "id0 lacks a list of bboxes or of labels"),
        (lambda data: data["id0"].pop("user_id"), "id0 has no user_id"),
        (first(user_id=""), "id0 has no user_id"),
        (first(bboxes=[BOX, [0.1, 0.1, 0.2]]), r"id0 has the box \[0.1, 0.1, 0.2\], wanted x, y, width"),
        (first(bboxes=[BOX, [0.1, 0.1, 0.2, None]]), "id0 has the box"),
        (first(bboxes=[BOX, [0.1, 0.1, 0.2, "0.2"]]), "id0 has the box"),
        (first(bboxes=[BOX, [410, 200, 90, 80]]), r"id0 has the box .* as fractions of the picture"),
        (first(bboxes=[BOX, [0.9, 0.1, 0.4, 0.2]]), "id0 has the box"),
        (first(bboxes=[BOX, [-0.4, 0.1, 0.4, 0.2]]), "id0 has the box"),
        (first(bboxes=[BOX, [0.4, 0.1, 0.0, 0.2]]), "id0 has the box"),
        (first(bboxes=[BOX, [0.4, 0.1, float("nan"), 0.2]]), "no valid JSON"),
        (first(bboxes=[BOX, [0.4, 0.1, float("inf"), 0.2]]), "no valid JSON"),
        (lambda data: data["id0"].pop("leading_hand"), "1 of 3 pictures have no leading_hand, e.g. id0"),
        (lambda data: data.update({"../id9": data["id0"]}), r"\.\./id9 has an id that is no name of a file"),
        (lambda data: data.update(id9=3), "Expected `object`, got `int`"),
        (lambda data: data.clear(), "it lists no pictures"),
    ],
)
def test_each_error_is_one_line_with_file_and_picture(call: Path, change: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_annotations(changed(call, change))
    assert str(caught.value).startswith(str(call))
    assert "\n" not in str(caught.value)


def test_boxes_may_reach_over_the_border(call: Path) -> None:
    box = [-0.02, 0.7, 0.3, 0.33]
    assert read_annotations(changed(call, first(bboxes=[BOX, box]))).boxes[0].tolist() == box


def test_files_that_are_none(call: Path) -> None:
    for content, message in (
        (b"{", "no valid JSON"),
        (b'{"id0": {"user_id": "\xff"}}', "no valid JSON"),
        (b"[]", "Expected `object`, got `array`"),
    ):
        call.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_annotations(call)
    call.unlink()
    with pytest.raises(DataError, match="does not exist"):
        read_annotations(call)


def test_many_problems_stay_one_line(call: Path) -> None:
    def change(data: Json) -> None:
        for k in range(3, 5):
            data[f"id{k}"] = entry("call", "u")
        for each in data.values():
            del each["labels"]

    with pytest.raises(DataError, match=r"and 2 more$"):
        read_annotations(changed(call, change))


def test_splits_hold_different_users_and_all_gestures_alike(whole: Path) -> None:
    producer = HagridHands(whole)
    train, val, test = (producer.samples(split) for split in ("train", "val", "test"))
    kept = {f"train_val-{k}" for k in range(40) if held_out(f"train_val-{k}")}
    assert 0 < len(kept) < 10
    assert len(val.ids) == 18 * len(kept) and len(train.ids) == 18 * (40 - len(kept))
    assert len({*train.users, *val.users}) == 40 and not {*train.users} & {*val.users}
    assert len(test.ids) == 54 and not {*test.users} & ({*train.users} | {*val.users})
    for samples in (train, val, test):
        rounds = samples.gestures.reshape(-1, 18)
        assert (np.sort(rounds, 1) == np.arange(18)).all()
        assert len(set(samples.ids)) == len(samples.ids)
    assert len({tuple(row) for row in train.gestures.reshape(-1, 18)[:9]}) == 9  # strides meet all gestures
    for k in range(40):
        listed = read_annotations(whole / "ann_train_val" / f"{GESTURES[train.gestures[k]]}.json")
        assert listed.ids[train.numbers[k]] == train.ids[k]


def test_order_is_of_the_content_not_of_the_file(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "ann_test").mkdir()
    for path in (whole / "ann_test").iterdir():
        entries = json.loads(path.read_text())
        (tmp_path / "ann_test" / path.name).write_text(json.dumps(dict(reversed(entries.items()))))
    assert HagridHands(tmp_path).samples("test").ids == HagridHands(whole).samples("test").ids


def test_producer_gives_crops_with_gestures(whole: Path) -> None:
    producer = pickle.loads(pickle.dumps(HagridHands(whole)))
    assert producer == HagridHands(whole) and hash(producer) == hash(HagridHands(whole))
    samples = producer.samples("test")
    assert producer.clips("main", "test", 54) == 54
    for clip in range(6):
        row = producer.produce("main", "test", clip, SIZE)
        for name, made in producer.fields("main", SIZE).items():
            assert row[name].dtype == made.dtype and row[name].shape == (1, *made.shape), name
        gesture = GESTURES[row["gesture"].item()]
        picture = read_picture(whole / "test" / gesture / f"{samples.ids[clip]}.jpg")
        box = np.array(BOX) * (WIDTH, HEIGHT, WIDTH, HEIGHT)
        np.testing.assert_allclose(row["box"][0], box, rtol=1e-6)
        expected, matrix = crop_box(picture, box, SIZE, 1.2)
        np.testing.assert_array_equal(row["rgb"][0], expected)
        assert matrix[0, 0] == pytest.approx(24 / 12 / 1.2)  # a square around 12 x 12 pixels
        assert producer.cluster("main", "test", clip) == samples.users[clip] >= 0


def test_wrong_requests(whole: Path, tmp_path: Path) -> None:
    producer = HagridHands(whole)
    with pytest.raises(ConfigError, match="hagrid/test has 54 hands, 55 are wanted"):
        producer.clips("main", "test", 55)
    with pytest.raises(ConfigError, match=r'no split "tset"\. Did you mean "test"'):
        producer.samples("tset")
    with pytest.raises(ConfigError, match=r"margin: 0\.9 is below 1"):
        Config(margin=0.9)
    with pytest.raises(DataError, match=r"no .*ann_train_val, the annotations of the split val"):
        HagridHands(tmp_path).samples("val")


def test_pictures_that_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path, "test", 1)
    producer = HagridHands(tmp_path)
    samples = producer.samples("test")
    folder = tmp_path / "test" / GESTURES[samples.gestures[0]]
    path = folder / f"{samples.ids[0]}.jpg"
    content = path.read_bytes()
    for there, message in (
        (b"no picture", "no picture, or a damaged one"),
        (content[: len(content) // 2], "damaged"),
        (None, "does not exist"),
    ):
        path.unlink()
        if there is not None:
            path.write_bytes(there)
        with pytest.raises(DataError, match=message) as caught:
            producer.produce("main", "test", 0, SIZE)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "folder",
    [
        "{part}/{gesture}",
        "{part}_{gesture}",
        "hagrid_512/{part}/{gesture}",
        "hagrid_30k/{part}_{gesture}",
        "{gesture}",
    ],
)
def test_folders_that_people_have(tmp_path: Path, folder: str) -> None:
    write(tmp_path, "train_val", 1, folder)
    write(tmp_path, "test", 1, folder)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "ann_test").rename(tmp_path / "annotations" / "ann_test")
    assert check_root(tmp_path).problems == ()
    for part in ("train_val", "test"):
        assert picture_folder(tmp_path, part, "call") == tmp_path / folder.format(part=part, gesture="call")


def test_check_counts_and_follows_the_content(whole: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    found = Hagrid.look_over(whole, lambda *step: seen.append(step))
    assert found.problems == () and len(found.digest) == 16
    train, val = (len(HagridHands(whole).samples(split).ids) for split in ("train", "val"))
    assert found.counts == {"main": {"train": train, "val": val, "test": 54}}
    assert "train_val: 720 pictures (version 1 has 509323) of 18 gestures by 40 users" in found.text
    assert "their longest side has 40 pixels" in found.text and "test: 54 samples (3 call, 3 " in found.text
    assert seen[-1] == ("test", 54, 54) and seen[-2] == ("train_val", 720, 720)

    write(tmp_path, "test", 3)
    alone = Hagrid.look_over(tmp_path)
    assert alone.counts == {"main": {"test": 54}} and "no training part" in alone.text
    assert Hagrid.look_over(tmp_path).digest == alone.digest
    for path in tmp_path.glob("test/*/*.jpg"):
        Image.open(path).resize((20, 15)).save(path)
    assert Hagrid.look_over(tmp_path).digest != alone.digest  # a smaller copy


def test_subsample_is_for_training(tmp_path: Path) -> None:
    write(tmp_path, "subsample", 20)
    found = Hagrid.look_over(tmp_path)
    assert found.problems == () and sum(found.counts["main"].values()) == 360
    assert "test" not in found.counts["main"] and "there is no test part" in found.text
    assert HagridHands(tmp_path).samples("train").part == "subsample"


def test_check_names_all_problems(tmp_path: Path) -> None:
    write(tmp_path, "train_val", 2)
    write(tmp_path, "test", 2)

    def same_user(data: Json) -> None:
        next(iter(data.values()))["user_id"] = "test-1"

    annotations = tmp_path / "ann_train_val"
    changed(annotations / "call.json", same_user)
    changed(annotations / "fist.json", lambda data: data[min(data)].pop("labels"))
    (annotations / "grabbing.json").write_text("{}")
    (annotations / "like.json").write_text("{")
    (annotations / "ok.json").unlink()
    pictures = tmp_path / "train_val"
    (pictures / "mute").rename(tmp_path / "elsewhere")
    lost = sorted((pictures / "one").iterdir())
    lost[0].unlink()
    sorted((pictures / "palm").iterdir())[1].write_bytes(b"no picture")
    problems = check_root(tmp_path).problems
    expected = (
        r"grabbing\.json: version 1 has no such gesture",
        r"fist\.json: picture .* lacks a list",
        r"like\.json is no valid JSON",
        r"ok\.json does not exist",
        r"no pictures of mute: there is neither .*train_val/mute nor .*train_val_mute",
        rf"{lost[0]} does not exist, as 1 of the 2 pictures that the annotations of train_val list",
        r"palm/.* damaged",
        r"1 users are in the training and in the test part, e\.g\. test-1",
    )
    assert len(problems) == len(expected)
    for problem, message in zip(problems, expected, strict=True):
        assert re.search(message, problem), problem
        assert "\n" not in problem
    assert "neither" in check_root(tmp_path / "elsewhere").problems[0]


def test_shots_are_of_all_gestures_and_of_users_of_their_own(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Hagrid.look_over(whole)
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "places.json"))
    places.add("hagrid", places.Registered(root=str(whole), digest=found.digest, counts=found.counts))
    spec = DataSpec(
        name="hagrid",
        adapter="bench.datasets.hagrid:Hagrid",
        version=1,
        config={"margin": 1.2, "files": found.digest},
        size=(32, 32),
        parts=(Part(source="main", split="train", samples=18 * 20),),
    )
    Hagrid.prepare([spec], tmp_path / "data")
    data = open_dataset(asdict(spec), tmp_path / "data")
    assert (len(data), data.info.classes, data.info.joint_set, data.unit) == (360, 18, "", "user")
    assert data.sources == {"hagrid/main/train"} and data.groups is None and data.strata is None
    assert data.classes is not None
    rows = np.arange(360)
    np.testing.assert_array_equal(data.batch(rows, ["gesture"])["gesture"], data.classes)
    chosen = subset.shots(data.ids, data.classes.tolist(), 4, 0, data.clusters.tolist())
    assert np.bincount(data.classes[chosen]).tolist() == [4] * 18
    shown = {(data.classes[k], data.clusters[k]) for k in chosen}
    assert len(shown) == 72
    assert {*chosen} <= {*subset.shots(data.ids, data.classes.tolist(), 8, 0, data.clusters.tolist())}
    assert Hagrid.preview(spec, tmp_path / "data", [0, 1])[:4] == b"\x89PNG"
    assert Hagrid.preview(spec, tmp_path / "none", [0, 1]) == Hagrid.preview(spec, tmp_path / "data", [0, 1])


def test_few_shots_run_from_files_to_a_score(
    whole: Path, tmp_path: Path, bench: Bench, small: tuple[str, ...]
) -> None:
    more = {"BENCH_PLACES": str(tmp_path / "places.json"), "BENCH_DATA": str(tmp_path / "data")}
    added = bench("data", "add", "hagrid", str(whole), **more)
    assert added.returncode == 0, added.stderr
    assert "test: 54 samples" in added.stdout and "hagrid is registered in" in added.stdout
    words = ["--methods", "scratch", "--tasks", "gesture@hagrid", *small]
    words += [
        f"task.gesture.finetune.{line}"
        for line in ("steps=6", "batch=8", "samples={train: 72, val: 18, test: 54}")
    ]
    done = bench("run", *words, "--shots", "2", "--store", str(tmp_path / "store"), "--jobs", "1", **more)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "store").glob("score/*/record.json")
    record = json.loads(path.read_text())
    assert record["metrics"][0]["name"] == "top1" and 0 <= record["metrics"][0]["value"] <= 100
    refused = bench("plan", *words, "--shots", "5", **more)
    assert refused.returncode == 2 and "5 samples of each class are more than the 4" in refused.stderr
