"""On files in the official format that the tests write."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.bodymodels.surface import LIP_FLIP, LIP_NAMES
from bench.data.augment import augment
from bench.data.batches import to_batch
from bench.data.opening import open_dataset
from bench.dataset import DataSpec, Part
from bench.datasets.lip import FILES, Lip, LipPeople, of_split, picture_of, read_ids
from bench.datasets.pictures import UNLABELLED, held_out
from bench.errors import ConfigError, DataError
from bench.grid import places
from bench.palette import CLASS_COLOURS, paint_classes

Bench = Callable[..., subprocess.CompletedProcess[str]]
Fault = tuple[Callable[[Path, str], Path], bytes | None, str]  # what becomes of which file, what is said
Metrics = Callable[[Path], dict[str, list[float]]]

WIDTH, HEIGHT = 60, 96
SIZE = (32, 24)
TRAIN = ("77_471474", "113_1207747", "113_900100000113", "136_500146")
VAL = ("100034_483681", "10005_205677", "113_222222")
LAYOUTS = {  # of pictures and lists, of label maps
    "official": ("TrainVal_images", "TrainVal_parsing_annotations"),
    "unpacked": ("TrainVal_images/TrainVal_images", "TrainVal_parsing_annotations/" * 3),
    "flat": (".", "."),
}


def labels(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Blocks of 12 x 12 pixels, each of one class or without one."""
    classes = np.array([*range(20), UNLABELLED], np.uint8)
    blocks = np.random.default_rng(seed).choice(classes, (height // 12, width // 12))
    return blocks.repeat(12, 0).repeat(12, 1)


def write(
    root: Path,
    layout: str = "official",
    parts: dict[str, Sequence[str]] | None = None,
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> None:
    """Write pictures that show the colours of their classes; label maps have a palette in turns."""
    images, maps = (root / folder for folder in LAYOUTS[layout])
    for part, ids in (parts or {"train": TRAIN, "val": VAL}).items():
        (images / f"{part}_images").mkdir(parents=True, exist_ok=True)
        (maps / f"{part}_segmentations").mkdir(parents=True, exist_ok=True)
        (images / f"{part}_id.txt").write_text("".join(f"{name}\n" for name in ids))
        for k, name in enumerate(ids):
            classes = labels(k, *size)
            picture = Image.fromarray(paint_classes(classes))
            picture.save(images / f"{part}_images" / f"{name}.jpg", quality=98, subsampling=0)
            stored = Image.fromarray(classes)
            if k % 2:
                stored.putpalette([value for v in range(256) for value in (255 - v, v, 7)])
            stored.save(maps / f"{part}_segmentations" / f"{name}.png")


def picture_file(root: Path, name: str, part: str = "val") -> Path:
    return root / "TrainVal_images" / f"{part}_images" / f"{name}.jpg"


def label_file(root: Path, name: str, part: str = "val") -> Path:
    return root / "TrainVal_parsing_annotations" / f"{part}_segmentations" / f"{name}.png"


def test_classes_are_those_of_the_paper_and_sides_swap() -> None:
    assert len(LIP_NAMES) == 20 and LIP_NAMES[4:8] == ("sunglasses", "upper clothes", "dress", "coat")
    for name, other in zip(LIP_NAMES, np.array(LIP_NAMES)[LIP_FLIP], strict=True):
        swapped = {"left": "right", "right": "left"}.get(name.split()[0])
        assert other == (name.replace(name.split()[0], swapped) if swapped else name)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_copies_of_all_layouts_hold_the_same_samples(tmp_path: Path, layout: str) -> None:
    write(tmp_path, layout)
    producer = pickle.loads(pickle.dumps(LipPeople(tmp_path)))
    assert producer == LipPeople(tmp_path) and hash(producer) == hash(LipPeople(tmp_path))
    assert producer.ids("test") == VAL
    assert {*producer.ids("train"), *producer.ids("val")} == {*TRAIN}
    assert [producer.cluster("main", "test", k) for k in range(3)] == [100034, 10005, 113]
    assert producer.clips("main", "test", 3) == 3
    for k in range(3):
        row = producer.produce("main", "test", k, (HEIGHT, WIDTH))
        np.testing.assert_array_equal(row["garments"][0], labels(k))
        for name, field in producer.fields("main", (HEIGHT, WIDTH)).items():
            assert row[name].dtype == field.dtype and row[name].shape == (1, *field.shape), name
    found = Lip.look_over(tmp_path)
    assert found.problems == ()
    assert found.text == "train: 4 pictures, cut out of 3\nval: 3 pictures, cut out of 3"
    counts = {split: len(producer.ids(split)) for split in FILES}
    assert found.counts == {"main": counts} and counts["train"] + counts["val"] == 4


@pytest.mark.parametrize("size", [(32, 24), (48, 48), (192, 120)])
def test_pixels_and_classes_lie_where_they_should(tmp_path: Path, size: tuple[int, int]) -> None:
    write(tmp_path)
    row = LipPeople(tmp_path).produce("main", "test", 1, size)
    rows = ((np.arange(size[0]) + 0.5) * HEIGHT / size[0]).astype(int)  # the stored pixel at each middle
    cols = ((np.arange(size[1]) + 0.5) * WIDTH / size[1]).astype(int)
    np.testing.assert_array_equal(row["garments"][0], labels(1)[rows][:, cols])
    reach = [1 + max(1.0, stored / new) for stored, new in zip((HEIGHT, WIDTH), size, strict=True)]
    inner = np.ix_(*(  # where no other block is blended in
        (middle % 12 > far) & (middle % 12 < 12 - far)
        for middle, far in zip(
            ((np.arange(n) + 0.5) * stored / n for n, stored in zip(size, (HEIGHT, WIDTH), strict=True)),
            reach,
            strict=True,
        )
    ))  # fmt: skip
    assert row["garments"][0][inner].size >= 40
    wanted = paint_classes(row["garments"][0])[inner].astype(int)
    assert np.abs(row["rgb"][0][inner].astype(int) - wanted).max() <= 8


def test_splits_keep_pictures_of_coco_together_and_the_order_of_the_list() -> None:
    ids = [f"{i % 400}_{1000 + i}" for i in range(1200)] + [f"own-{i}" for i in range(400)]
    train, val = of_split(ids, "train"), of_split(ids, "val")
    assert sorted(train + val) == sorted(ids) and of_split(ids, "test") == tuple(ids)
    assert [name for name in ids if name in set(train)] == list(train)
    assert not {*map(picture_of, train)} & {*map(picture_of, val)} - {None}
    assert 0.02 < len(val) / len(ids) < 0.09  # one in twenty
    assert {picture_of(name) for name in val} - {None} == {i for i in range(400) if held_out(i)}
    assert any(picture_of(name) is None for name in val)
    assert [picture_of(name) for name in ("0_1", "12_3_4", "a_1", "7")] == [0, None, None, None]


def test_samples_without_a_picture_of_coco_are_clusters_of_their_own(tmp_path: Path) -> None:
    write(tmp_path, parts={"val": ("b", "12_5", "a", "12_7")})
    producer = LipPeople(tmp_path)
    assert [producer.cluster("main", "test", k) for k in range(4)] == [-1, 12, -3, 12]
    assert Lip.look_over(tmp_path).counts == {"main": {"test": 4}}  # one part alone


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the list is empty"),
        ("\n\n", "the list is empty"),
        ("1_2\n3_4\n1_2\n", "1_2 is listed 2 times"),
        ("1_2\nval_images/3_4.jpg\n", "line 2 is 'val_images/3_4.jpg', wanted is an id, e.g. 77_471474"),
        ("1_2 3_4\n", "line 1 is '1_2 3_4', wanted"),
        ("..\n", r"line 1 is '\.\.', wanted"),
        ("/a b\n" * 5, r"line 1 .*; line 2 .*; line 3 .*; and 3 more$"),
        (b"\xff\xfe", "the list cannot be read"),
    ],
)
def test_lists_with_errors_are_refused_in_one_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = tmp_path / "val_id.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message) as caught:
        read_ids(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def encoded(classes: np.ndarray, mode: str = "L", kind: str = "PNG", **more: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(classes).convert(mode).save(stream, kind, **more)
    return stream.getvalue()


def few_bits() -> bytes:
    """A grey PNG of four bits, as optimisers write it; libraries stretch its values."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 4, 0, 0, 0, 0)
    lines = (b"\0" + b"\x11" * (WIDTH // 2)) * HEIGHT
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


WHOLE = encoded(labels(0))
HEADS: list[Fault] = [  # found by looking over, too
    (label_file, None, "does not exist"),
    (label_file, b"no picture", "no picture, or a damaged one"),
    (
        label_file,
        encoded(labels(0), "RGB"),
        "map of classes is PNG RGB, wanted is an 8-bit PNG of mode L or P",
    ),
    (label_file, encoded(labels(0), "I;16"), "map of classes is PNG I;16, wanted"),
    (label_file, encoded(labels(0), "L", "JPEG"), "map of classes is JPEG L, wanted"),
    (label_file, few_bits(), "map of classes is PNG L of fewer than 8 bits, wanted"),
    (label_file, encoded(labels(0, 48, 48)), "the picture has 60 x 96 pixels, the annotations say 48 x 48"),
    (picture_file, None, "does not exist"),
    (picture_file, b"no picture", "no picture, or a damaged one"),
    (picture_file, encoded(labels(0, 48, 48)), "the picture has 48 x 48 pixels, the annotations say 60 x 96"),
]
PIXELS: list[Fault] = [
    (label_file, WHOLE[: len(WHOLE) // 2], "the picture is damaged"),
    (
        label_file,
        encoded(labels(0) % 20 + 20),
        "a pixel has the class 39, wanted are 0..19, and 255 for none",
    ),
    (picture_file, encoded(labels(0), "RGB", "JPEG")[:900], "the picture is damaged"),
]


@pytest.mark.parametrize(("file", "content", "message"), HEADS + PIXELS)
def test_each_fault_of_a_file_is_one_line(
    tmp_path: Path, file: Callable[[Path, str], Path], content: bytes | None, message: str
) -> None:
    write(tmp_path)
    path = file(tmp_path, VAL[1])
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    producer = LipPeople(tmp_path)
    producer.produce("main", "test", 0, SIZE)
    with pytest.raises(DataError, match=message) as caught:
        producer.produce("main", "test", 1, SIZE)
    assert VAL[1] in str(caught.value) and "\n" not in str(caught.value)
    problems = Lip.look_over(tmp_path).problems
    assert problems == ((str(caught.value),) if (file, content, message) in HEADS else ())


def test_looking_over_counts_tells_how_far_it_is_and_names_all_problems(tmp_path: Path) -> None:
    write(tmp_path)
    seen: list[tuple[str, int, int]] = []
    before = Lip.look_over(tmp_path, lambda *step: seen.append(step))
    assert seen == [("train", 4, 4), ("val", 3, 3)]
    assert len(before.digest) == 16 and before.digest == Lip.look_over(tmp_path).digest

    listed = tmp_path / "TrainVal_images" / "val_id.txt"
    listed.write_text("\n".join(VAL[::-1]))  # another order is another list
    assert Lip.look_over(tmp_path).digest != before.digest
    write(tmp_path)
    label_file(tmp_path, VAL[0]).write_bytes(encoded(labels(99)))
    assert Lip.look_over(tmp_path).digest != before.digest

    write(tmp_path, parts={"val": (*VAL, TRAIN[0])})
    picture_file(tmp_path, VAL[2]).unlink()
    problems = Lip.look_over(tmp_path).problems
    assert len(problems) == 2
    assert problems[0].endswith(f"val_id.txt: {TRAIN[0]} is in train_id.txt, too")
    assert f"{VAL[2]}.jpg: the picture does not exist" in problems[1]

    picture_file(tmp_path, "").parent.rename(tmp_path / "elsewhere")
    label_file(tmp_path, "").parent.rename(tmp_path / "there")
    (problem,) = Lip.look_over(tmp_path).problems
    assert "there is no val_images, no val_segmentations, neither there nor in TrainVal_images" in problem
    for part in ("train", "val"):
        (tmp_path / "TrainVal_images" / f"{part}_id.txt").unlink()
    (problem,) = Lip.look_over(tmp_path).problems
    assert problem.startswith(f"{tmp_path}: there is neither train_id.txt nor val_id.txt")


def test_wrong_requests(tmp_path: Path) -> None:
    write(tmp_path, parts={"val": VAL})
    producer = LipPeople(tmp_path)
    with pytest.raises(ConfigError, match="lip/test has 3 pictures, 4 are wanted"):
        producer.clips("main", "test", 4)
    with pytest.raises(ConfigError, match=r'lip has no split "tset"\. Did you mean "test"'):
        producer.ids("tset")
    with pytest.raises(DataError, match=r"there is no train_id\.txt"):
        producer.ids("train")


def test_mirroring_swaps_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    found = Lip.look_over(tmp_path)
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "places.json"))
    places.add("lip", places.Registered(root=str(tmp_path), digest=found.digest, counts=found.counts))
    part = Part(source="main", split="test", samples=3)
    spec = DataSpec(
        name="lip", adapter="bench.datasets.lip:Lip", version=1, config={"files": found.digest}, size=SIZE,
        parts=(part,),
    )  # fmt: skip
    Lip.prepare([spec], tmp_path / "data")
    data = open_dataset(spec, tmp_path / "data")
    assert data.clusters.tolist() == [100034, 10005, 113] and data.sources == {"lip/main/test"}
    raw = data.batch([0, 1, 2] * 8, ["rgb", "garments"])
    batch = to_batch(raw, ("rgb",), ("garments",), data.fields, torch.device("cpu"), joint_set="")

    class Draws:
        generator = torch.Generator().manual_seed(0)

        def rand(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.rand(*shape, dtype=dtype, generator=self.generator) * 0.49  # mirrors all

        def randn(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.randn(*shape, dtype=dtype, generator=self.generator)

    mirrored = augment(batch, data.fields, {"flip": True}, Draws(), joint_set="")  # type: ignore[arg-type]
    swapped = np.append(LIP_FLIP, np.arange(20, 256)).astype(np.uint8)
    np.testing.assert_array_equal(mirrored["garments"], swapped[raw["garments"][:, :, ::-1]])
    sheet = np.asarray(Image.open(io.BytesIO(data.sheet([0, 2]))))
    assert sheet.shape == (2 * SIZE[0], 2 * SIZE[1], 3)
    np.testing.assert_array_equal(sheet[SIZE[0] :, : SIZE[1]], paint_classes(raw["garments"][0]))
    assert len(CLASS_COLOURS) > len(LIP_NAMES)


def test_from_files_to_a_score(
    bench: Bench, tmp_path: Path, small: tuple[str, ...], metrics: Metrics
) -> None:
    root = tmp_path / "lip"
    write(
        root, parts={"train": [f"{i}_{i}" for i in range(1, 81)], "val": [f"{i}_9" for i in range(90, 100)]}
    )
    env = {"BENCH_PLACES": str(tmp_path / "places.json"), "BENCH_DATA": str(tmp_path / "data")}
    store = tmp_path / "store"
    added = bench("data", "add", "lip", str(root), **env)
    assert added.returncode == 0, added.stderr
    assert added.stdout.startswith("train: 80 pictures, cut out of 80\nval: 10 pictures, cut out of 10\n")
    grid = ("--methods", "scratch", "--tasks", "parsing_clothes@lip", "--fractions", "1.0")
    ran = bench("run", *grid, "--store", str(store), *small, **env)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "parsing_clothes on lip" in ran.stdout
    ((value, *_),) = metrics(store).values()
    assert 0 <= value < 100
