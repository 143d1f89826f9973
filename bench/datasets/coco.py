"""COCO key points (arXiv:1405.0312): reads the official files, cuts out persons.

    ROOT/annotations/person_keypoints_{train,val}2017.json
    ROOT/{train,val}2017/000000000139.jpg

Positions are (x, y) in the plane of the picture: pixel x covers [x, x + 1). COCO writes the number of the
pixel that was clicked for a joint, so that a joint lies half a pixel further; boxes lie in the plane already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from bench.bodymodels.joints import JOINT_SETS
from bench.data.sharded import ShardedDataset
from bench.dataset import Arrays, DataSpec, Field, Found
from bench.datasets.pictures import (
    SOURCE,
    Floats,
    OnePerClip,
    check_picture,
    crop_box,
    crop_joints,
    dotted,
    few,
    held_out,
    inside,
    numbers,
    one_row,
    read_picture,
)
from bench.errors import ConfigError, DataError, nearest
from bench.files import canonical, sha256_file, sha256_text
from bench.grid.places import registered

JOINT_SET = "coco17"
MARGIN = 1.25  # of the box, as usual (arXiv:1804.06208)
FILES = {"train": "train2017", "val": "train2017", "test": "val2017"}  # split -> name of the official part

_NAMES = JOINT_SETS[JOINT_SET].names
_JOINTS = len(_NAMES)
_OFFICIAL = [name.replace(" ", "_") for name in _NAMES]

Progress = Callable[[str, int, int], None]  # what is being looked at, how much of it is done, of how much


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One entry of `images`."""

    id: int
    file: str
    width: int  # pixels
    height: int

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), pixels."""
        return self.width, self.height


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Person:
    """One entry of `annotations`, of a person or a crowd."""

    id: int
    picture: Picture
    box: tuple[float, float, float, float]  # x, y, width, height, pixels
    area: float  # of the person's outline, square pixels
    keypoints: Floats  # (17, 3): x, y in the plane of the picture, visibility 0, 1, 2

    @property
    def labelled(self) -> bool:
        """Whether any joint is labelled."""
        return bool((self.keypoints[:, 2] > 0).any())

    @property
    def flat(self) -> bool:
        """Whether box or area is 0."""
        return min(*self.box[2:], self.area) == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """One annotation file; persons in the order of picture and annotation id."""

    pictures: tuple[Picture, ...]
    persons: tuple[Person, ...]  # with labelled joints, no crowds: the samples
    unlabelled: tuple[Person, ...]  # without; an evaluation by picture ignores who finds them
    crowds: tuple[Person, ...]  # likewise, however often they are found
    flat: tuple[Person, ...]  # with labelled joints, but a box or an area of 0; left out


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What is found below a root."""

    counts: Mapping[str, Mapping[str, int]]  # by official part: pictures, persons, unlabelled, crowds, flat
    sha256: Mapping[str, str]  # of the annotation files, by official part
    problems: tuple[str, ...] = field(default_factory=tuple)  # a line each


def read_annotations(path: Path) -> Annotations:
    """Read an annotation file of COCO key points.

    Raises:
        DataError: the file is missing, no JSON, or wrong somewhere; names the first problems.
    """
    annotations, problems = _read(path)
    if annotations is None or problems:
        raise DataError(few(problems))
    return annotations


def annotation_file(root: Path, part: str) -> Path:
    """Annotation file of an official part, e.g. `val2017`."""
    return root / "annotations" / f"person_keypoints_{part}.json"


def check_root(root: Path, progress: Progress | None = None) -> Summary:
    """Look at everything below a root but the pixels: annotations, and the head of every picture file.

    Args:
        root: folder with `annotations`, `train2017`, `val2017`.
        progress: called with the part, and how many of its pictures are done of how many.
    """
    counts: dict[str, dict[str, int]] = {}
    digests: dict[str, str] = {}
    problems: list[str] = []
    owner: dict[int, str] = {}
    for part in dict.fromkeys(FILES.values()):
        path = annotation_file(root, part)
        if not path.exists():  # a user may have one part alone
            continue
        annotations, found = _read(path)
        problems += found
        if annotations is None:
            continue
        digests[part] = sha256_file(path)
        kinds = ("pictures", "persons", "unlabelled", "crowds", "flat")
        counts[part] = {kind: len(getattr(annotations, kind)) for kind in kinds}
        needed = {person.picture.id: person for person in annotations.persons}
        for done, person in enumerate(needed.values()):
            if person.picture.id in owner:
                problems.append(f"{path}: picture {person.picture.id} is in {owner[person.picture.id]}, too")
            owner[person.picture.id] = part
            file = root / part / person.picture.file
            try:
                check_picture(file, person.picture.size)
            except DataError as error:
                problems.append(f"{error} (annotation {person.id})")
            if progress is not None and (done % 100 == 99 or done + 1 == len(needed)):
                progress(part, done + 1, len(needed))
    if not digests and not problems:
        parts = " or ".join(str(annotation_file(root, part)) for part in dict.fromkeys(FILES.values()))
        problems.append(f"there is neither {parts}")
    return Summary(counts=counts, sha256=digests, problems=tuple(problems))


@dataclass(frozen=True, slots=True)
class CocoPeople(OnePerClip):
    """Makes person crops; a clip is one person. See `bench.data.producer.Producer`.

    Splits: `test` is the official `val2017`, `val` one in twenty pictures of `train2017`, by a hash of the
    picture's id, `train` the others. Persons come in the order of picture and annotation id.
    """

    root: Path
    margin: float = MARGIN
    digest: str = ""  # of the annotations

    @property
    def name(self) -> str:
        """What the samples depend on besides."""
        return f"coco-v{self.version}-margin{self.margin:g}-{self.digest}"

    @property
    def version(self) -> int:
        """Raised whenever a sample changes."""
        return 1

    def splits(self, source: str) -> tuple[str, ...]:
        """Splits of the source."""
        return tuple(FILES)

    def clips(self, source: str, split: str, samples: int) -> int:
        """Clips that hold at least that many samples.

        Raises:
            ConfigError: unknown split, or not so many persons.
            DataError: the annotations cannot be read.
        """
        there = len(self.persons(split))
        if samples > there:
            raise ConfigError(f"coco/{split} has {there} persons with joints, {samples} are wanted")
        return samples

    def cluster(self, source: str, split: str, clip: int) -> int:
        """Picture of a person; the official parts share none."""
        return self.persons(split)[clip].picture.id

    def fields(self, source: str, size: tuple[int, int]) -> Mapping[str, Field]:
        """Arrays of a sample."""
        return {
            "rgb": Field(dtype="uint8", shape=(*size, 3), kind="image"),
            "keypoints": Field(dtype="float32", shape=(_JOINTS, 3), kind="joints2d", flip=JOINT_SET),
            "crop_matrix": Field(dtype="float32", shape=(3, 3)),  # from (x, y, 1) in the picture to the crop
            "area": Field(dtype="float32", shape=()),  # of the outline, square pixels of the picture
            "box": Field(dtype="float32", shape=(4,)),  # x, y, width, height, pixels of the picture
            "annotation_id": Field(dtype="int64", shape=()),
            "image_id": Field(dtype="int64", shape=()),
        }

    def produce(self, source: str, split: str, clip: int, size: tuple[int, int]) -> Arrays:
        """Arrays of one person, one row.

        Joints that are not labelled are 0; labelled ones may lie outside the crop, and count when scored.

        Raises:
            DataError: the picture is missing or damaged; names file and annotation.
        """
        person = self.persons(split)[clip]
        try:
            picture = _decoded(self.root / FILES[split] / person.picture.file, person.picture.size)
        except DataError as error:
            raise DataError(f"{error} (annotation {person.id})") from None
        pixels, matrix = crop_box(picture, person.box, size, self.margin)
        row: dict[str, Any] = {
            "rgb": pixels,
            "keypoints": crop_joints(person.keypoints, matrix),
            "crop_matrix": matrix,
            "area": person.area,
            "box": person.box,
            "annotation_id": person.id,
            "image_id": person.picture.id,
        }
        return one_row(row, self.fields(source, size))

    def persons(self, split: str) -> tuple[Person, ...]:
        """Persons of a split, in order.

        Raises:
            ConfigError: unknown split.
            DataError: the annotations cannot be read.
        """
        if split not in FILES:
            raise ConfigError(f'coco has no split "{split}".{nearest(split, FILES)}')
        return _persons(self.root, split)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the data set."""

    margin: float = MARGIN  # factor on the box of a person, at least 1
    files: str = ""  # digest of the annotations; planning fills it in

    def __post_init__(self) -> None:
        if not self.margin >= 1:
            raise ConfigError(f"data.config.margin: {self.margin} is below 1, which cuts the box of a person")


class Coco(ShardedDataset):
    """Person crops with key points. Clusters are pictures."""

    Config = Config
    joint_set = JOINT_SET
    unit = "image"

    @classmethod
    def _producer(cls, spec: DataSpec) -> CocoPeople:
        config = Config(**spec.config)
        root = Path(registered(spec.name, config.files).root)
        return CocoPeople(root=root, margin=config.margin, digest=config.files)

    @classmethod
    def look_over(cls, root: Path, progress: Progress | None = None) -> Found:
        summary = check_root(root, progress)
        counts: dict[str, int] = {}
        if not summary.problems:
            maker = CocoPeople(root=root)
            there = [split for split, part in FILES.items() if part in summary.sha256]
            counts = {split: len(maker.persons(split)) for split in there}
        lines = [
            f"{part}: " + ", ".join(f"{count} {kind}" for kind, count in found.items())
            for part, found in summary.counts.items()
        ]
        digest = sha256_text(canonical(dict(summary.sha256)))[:16]
        return Found(digest=digest, counts={SOURCE: counts}, text="\n".join(lines), problems=summary.problems)

    @classmethod
    def draw(cls, samples: Sequence[Arrays]) -> bytes:
        """Draw crops beside each other, labelled joints as dots: visible ones green, hidden ones red."""
        return dotted([(sample["rgb"], sample["keypoints"]) for sample in samples])


@lru_cache(maxsize=3)
def _persons(root: Path, split: str) -> tuple[Person, ...]:
    persons = _cached(annotation_file(root, FILES[split])).persons
    if split == "test":
        return persons
    return tuple(person for person in persons if held_out(person.picture.id) == (split == "val"))


@lru_cache(maxsize=2)
def _cached(path: Path) -> Annotations:
    return read_annotations(path)


_decoded = lru_cache(maxsize=2)(read_picture)  # the persons of a picture follow each other


def _read(path: Path) -> tuple[Annotations | None, list[str]]:
    """Parse a file; return what is sound, None if nothing is, and a line per problem."""
    try:
        data = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None, [f"{path} does not exist; the annotations of COCO 2017 hold it"]
    except OSError as error:
        return None, [f"{path} cannot be read: {error.strerror}"]
    except orjson.JSONDecodeError as error:
        return None, [f"{path} is no valid JSON: {error}"]
    lists = ("images", "annotations", "categories")
    absent = [k for k in lists if not isinstance(data, dict) or not isinstance(data.get(k), list)]
    if absent:
        return None, [f"{path}: no list {', '.join(absent)}; wanted is a person_keypoints file of COCO"]
    problems: list[str] = []
    category = _category(data["categories"], problems)
    pictures: dict[int, Picture] = {}
    for entry, name in _entries(data["images"], "picture", problems):
        picture = _picture_of(entry, name, problems)
        if picture is not None:
            pictures[picture.id] = picture
    persons: list[Person] = []
    crowds: list[Person] = []
    for entry, name in _entries(data["annotations"], "annotation", problems):
        if entry.get("category_id", category) != category:
            continue
        person = _person_of(entry, name, pictures, problems)
        if person is not None:
            (crowds if entry["iscrowd"] else persons).append(person)
    for listed in (persons, crowds):
        listed.sort(key=lambda person: (person.picture.id, person.id))
    found = Annotations(
        pictures=tuple(sorted(pictures.values(), key=lambda picture: picture.id)),
        persons=tuple(person for person in persons if person.labelled and not person.flat),
        unlabelled=tuple(person for person in persons if not person.labelled),
        crowds=tuple(crowds),
        flat=tuple(person for person in persons if person.labelled and person.flat),
    )
    return found, [f"{path}: {problem}" for problem in problems]


def _entries(listed: list[Any], kind: str, problems: list[str]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the entries that have an id of their own, each with a name for messages."""
    ids = [entry.get("id") if isinstance(entry, dict) else None for entry in listed]
    times = Counter(i for i in ids if isinstance(i, int))
    problems += [f"{kind} {i} occurs {count} times" for i, count in times.items() if count > 1]
    for place, (entry, i) in enumerate(zip(listed, ids, strict=True)):
        if not isinstance(i, int) or isinstance(i, bool):
            problems.append(f"{kind} number {place + 1} has no whole number as id")
        elif times[i] == 1:
            yield entry, f"{kind} {i}"


def _category(listed: list[Any], problems: list[str]) -> int:
    """Return the id of persons; 1 where that is not told."""
    for entry in listed:
        if isinstance(entry, dict) and entry.get("name") == "person":
            if entry.get("keypoints", _OFFICIAL) != _OFFICIAL:
                problems.append(f"the joints of persons are {entry['keypoints']}, wanted {_OFFICIAL}")
            return int(entry.get("id", 1))
    problems.append("no category person")
    return 1


def _picture_of(entry: dict[str, Any], name: str, problems: list[str]) -> Picture | None:
    absent = [key for key in ("file_name", "width", "height") if key not in entry]
    if absent:
        problems.append(f"{name} lacks {', '.join(absent)}")
        return None
    size = (entry["width"], entry["height"])
    if not all(isinstance(side, int) and side > 0 for side in size):
        problems.append(f"{name} has the size {size[0]} x {size[1]}, wanted positive whole numbers")
        return None
    file = entry["file_name"]
    if not inside(file):
        problems.append(f"{name} has the file name {file!r}, wanted one below the folder of pictures")
        return None
    return Picture(id=entry["id"], file=file, width=size[0], height=size[1])


def _person_of(
    entry: dict[str, Any], name: str, pictures: Mapping[int, Picture], problems: list[str]
) -> Person | None:
    keys = ("image_id", "bbox", "area", "iscrowd", "keypoints", "num_keypoints")
    absent = [key for key in keys if key not in entry]
    if absent:
        problems.append(f"{name} lacks {', '.join(absent)}")
        return None
    if entry["image_id"] not in pictures:
        problems.append(f"{name} is of picture {entry['image_id']}, which is not listed")
        return None
    picture = pictures[entry["image_id"]]
    box, area, flat = (numbers(entry[key]) for key in ("bbox", "area", "keypoints"))
    problem = None
    if flat is None or len(flat) != 3 * _JOINTS:
        count = "no" if flat is None else str(len(flat))
        problem = f"has {count} numbers as keypoints, wanted {3 * _JOINTS} finite ones (x, y, v of 17 joints)"
    elif not np.isin(flat[2::3], (0, 1, 2)).all():
        problem = "has a visibility other than 0, 1, 2"
    elif (flat[2::3] > 0).sum() != entry["num_keypoints"]:
        problem = f"has {(flat[2::3] > 0).sum()} labelled joints, num_keypoints says {entry['num_keypoints']}"
    elif box is None or len(box) != 4 or not (box[2:] >= 0).all():
        problem = f"has the box {entry['bbox']}, wanted x, y, width, height"
    elif (box[:2] > (picture.width, picture.height)).any() or (box[:2] + box[2:] < 0).any():
        problem = f"has the box {entry['bbox']} outside its picture of {picture.width} x {picture.height}"
    elif (box[2:] > 2 * np.array([picture.width, picture.height])).any():
        problem = f"has the box {entry['bbox']}, over twice its picture of {picture.width} x {picture.height}"
    elif area is None or len(area) != 1 or area[0] < 0:
        problem = f"has the area {entry['area']}, wanted a number of square pixels"
    if problem is not None or flat is None or box is None or area is None:
        problems.append(f"{name} {problem}")
        return None
    joints = flat.reshape(_JOINTS, 3)
    joints[:, :2] += 0.5  # from the pixel that was clicked to its middle
    return Person(
        id=entry["id"],
        picture=picture,
        box=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
        area=float(area[0]),
        keypoints=joints,
    )
