"""HaGRID, version 1 (arXiv:2206.08219): cuts out the hands that show a gesture.

    ROOT/ann_train_val/call.json    ROOT/train_val/call/<id>.jpg, or ROOT/train_val_call/<id>.jpg
    ROOT/ann_test/call.json         ROOT/test/call/<id>.jpg

All of these may lie one folder deeper, as in `annotations/ann_test` or `hagrid_512/train_val_call`; pictures
of all parts may share the folder of their gesture, `ROOT/call`. Where there is no `ann_train_val`,
`ann_subsample` (100 pictures of each gesture) and `subsample` are for training. Copies of any size will do,
since boxes are fractions; sizes enter the digest, so that results on one copy are not taken for another's.

Later releases (554,800 pictures; 33 gestures) have files of the same names and other samples. They are told
by what only version 1 has, `leading_hand` in each entry, and by their further gestures.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.data.sharded import ShardedDataset
from bench.dataset import Arrays, DataSpec, Field, Found, Ints
from bench.datasets.pictures import (
    SOURCE,
    Floats,
    OnePerClip,
    check_picture,
    crop_box,
    dotted,
    few,
    held_out,
    one_row,
    read_picture,
)
from bench.errors import ConfigError, DataError, nearest
from bench.files import canonical, sha256_file, sha256_text
from bench.grid.places import registered
from bench.synth.hand_poses import GESTURES

MARGIN = 1.2  # of the box
PARTS = {"train": ("train_val", "subsample"), "val": ("train_val", "subsample"), "test": ("test",)}
PUBLISHED = {"train_val": 509_323, "test": 43_669, "subsample": 1800}  # pictures that version 1 has
REACH = 0.1  # of the picture's sides, by which a box may lie outside

_ANNOTATIONS = ("ann_{part}", "*/ann_{part}")
_PICTURES = (
    "{part}/{gesture}", "{part}_{gesture}", "*/{part}/{gesture}", "*/{part}_{gesture}", "{gesture}",
)  # fmt: skip
_WANTED = "wanted x, y, width, height as fractions of the picture"

Progress = Callable[[str, int, int], None]  # what is being looked at, how much of it is done, of how much


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Annotations:
    """One annotation file: a hand per picture, in the order of the pictures' ids."""

    gesture: str
    ids: tuple[str, ...]  # n names of picture files, without suffix
    boxes: Floats  # (n, 4): x, y, width, height, fractions of the picture's width and height
    users: tuple[str, ...]  # n


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """The hands of a split, in order."""

    part: str
    gestures: Ints  # (n,), numbers in `GESTURES`
    numbers: Ints  # (n,), place of the picture among the sorted ids of its gesture and part
    ids: tuple[str, ...]  # n names of picture files, without suffix
    boxes: Floats  # (n, 4), see `Annotations`
    users: Ints  # (n,), 63 bits of a hash of the user's id


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSummary:
    """What is found of an official part."""

    pictures: int
    gestures: int
    users: int
    side: int  # longest one of any picture, pixels
    sha256: str  # of annotation files and of the sizes of pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What is found below a root."""

    parts: Mapping[str, PartSummary]
    counts: Mapping[str, Mapping[str, int]]  # samples by split and gesture
    problems: tuple[str, ...] = field(default_factory=tuple)  # a line each


def read_annotations(path: Path) -> Annotations:
    """Read the annotation file of a gesture.

    The sample of a picture is the first box whose label is the gesture.

    Raises:
        DataError: the file is missing, no JSON, of another version, or wrong somewhere; names the first
            problems.
    """
    annotations, problems = _read(path)
    if annotations is None or problems:
        raise DataError(few(problems))
    return annotations


def annotation_folder(root: Path, part: str) -> Path | None:
    """Folder of the annotations of an official part, e.g. `test`; None = the part is not there."""
    return _first(root, _ANNOTATIONS, part)


def picture_folder(root: Path, part: str, gesture: str) -> Path | None:
    """Folder of the pictures of a gesture; None = they are not there."""
    return _first(root, _PICTURES, part, gesture)


def check_root(root: Path, progress: Progress | None = None) -> Summary:
    """Look at everything below a root but the pixels: annotations, and the head of every picture file.

    Args:
        root: folder with annotations and pictures.
        progress: called with the part, and how many of its pictures are done of how many.
    """
    parts: dict[str, PartSummary] = {}
    counts: dict[str, dict[str, int]] = {}
    users: dict[str, set[str]] = {}
    problems: list[str] = []
    for part, folder in _parts(root).items():
        problems += _strangers(folder)
        read: list[Annotations] = []
        for gesture in GESTURES:
            found, wrong = _read(folder / f"{gesture}.json")
            problems += wrong
            read += [] if found is None else [found]
        step = _counting(part, sum(len(found.ids) for found in read), progress)
        words: dict[str, list[str]] = {}
        side = 0
        for found in read:
            sizes, wrong = _sizes(root, part, found, step)
            problems += wrong
            path = folder / f"{found.gesture}.json"
            words[found.gesture] = [sha256_file(path), sha256_text(canonical(sizes))]
            side = max([side, *(length for size in sizes for length in size)])
        users[part] = {user for found in read for user in found.users}
        parts[part] = PartSummary(
            pictures=sum(len(found.ids) for found in read),
            gestures=len(read),
            users=len(users[part]),
            side=side,
            sha256=sha256_text(canonical(words)),
        )
        for split in (split for split, known in PARTS.items() if part in known):
            numbers = _sorted(part, read, split).gestures
            counts[split] = {name: int((numbers == k).sum()) for k, name in enumerate(GESTURES)}
    if not parts:
        problems.append(
            f"there is neither {root / 'ann_train_val'} nor {root / 'ann_test'}, the annotations of "
            "version 1 (later releases, whose folders are train, val and test, have other samples)"
        )
    known = list(users.values())
    if len(known) > 1 and (both := set.intersection(*known)):
        problems.append(
            f"{len(both)} users are in the training and in the test part, e.g. {min(both)}; "
            "these parts do not belong together"
        )
    return Summary(parts=parts, counts=counts, problems=tuple(problems))


@dataclass(frozen=True, slots=True)
class HagridHands(OnePerClip):
    """Makes crops of hands; a clip is one hand. See `bench.data.producer.Producer`.

    Splits: `test` is the official one, `val` one in twenty users of the training part, by a hash of the
    user's id, `train` the others. Gestures take turns in rounds, so that the first samples are of all
    gestures alike; within a gesture, and within a round, a hash of the picture's id gives the order.
    """

    root: Path
    margin: float = MARGIN
    digest: str = ""  # of annotations and sizes

    @property
    def name(self) -> str:
        """What the samples depend on besides."""
        return f"hagrid-v{self.version}-margin{self.margin:g}-{self.digest}"

    @property
    def version(self) -> int:
        """Raised whenever a sample changes."""
        return 1

    def splits(self, source: str) -> tuple[str, ...]:
        """Splits of the source."""
        return tuple(PARTS)

    def clips(self, source: str, split: str, samples: int) -> int:
        """Clips that hold at least that many samples.

        Raises:
            ConfigError: unknown split, or not so many hands.
            DataError: the annotations cannot be read.
        """
        there = len(self.samples(split).ids)
        if samples > there:
            raise ConfigError(f"hagrid/{split} has {there} hands, {samples} are wanted")
        return samples

    def cluster(self, source: str, split: str, clip: int) -> int:
        """User of a hand."""
        return int(self.samples(split).users[clip])

    def fields(self, source: str, size: tuple[int, int]) -> Mapping[str, Field]:
        """Arrays of a sample."""
        return {
            "rgb": Field(dtype="uint8", shape=(*size, 3), kind="image"),
            "gesture": Field(dtype="uint8", shape=()),  # number in `GESTURES`
            "box": Field(dtype="float32", shape=(4,)),  # x, y, width, height, pixels of the picture
            "number": Field(dtype="int64", shape=()),  # see `Samples.numbers`
        }

    def produce(self, source: str, split: str, clip: int, size: tuple[int, int]) -> Arrays:
        """Arrays of one hand, one row.

        Raises:
            DataError: the picture is missing or damaged; names the file.
        """
        samples = self.samples(split)
        gesture = GESTURES[samples.gestures[clip]]
        folder = _folder(self.root, samples.part, gesture)
        if folder is None:
            raise DataError(_no_pictures(self.root, samples.part, gesture))
        picture = read_picture(folder / f"{samples.ids[clip]}.jpg")
        box = samples.boxes[clip] * (picture.size * 2)
        pixels, _ = crop_box(picture, box, size, self.margin)
        row: dict[str, Any] = {
            "rgb": pixels,
            "gesture": samples.gestures[clip],
            "box": box,
            "number": samples.numbers[clip],
        }
        return one_row(row, self.fields(source, size))

    def samples(self, split: str) -> Samples:
        """Hands of a split, in order.

        Raises:
            ConfigError: unknown split.
            DataError: the annotations cannot be read.
        """
        if split not in PARTS:
            raise ConfigError(f'hagrid has no split "{split}".{nearest(split, PARTS)}')
        return _samples(self.root, split)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the data set."""

    margin: float = MARGIN  # factor on the box of a hand, at least 1
    files: str = ""  # digest of annotations and sizes; planning fills it in

    def __post_init__(self) -> None:
        if not self.margin >= 1:
            raise ConfigError(f"data.config.margin: {self.margin} is below 1, which cuts the box of a hand")


class Hagrid(ShardedDataset):
    """Crops of hands, each with its gesture. Clusters are users, who never cross splits."""

    Config = Config
    unit = "user"

    def __init__(self, spec: DataSpec, root: Path) -> None:
        super().__init__(spec, root)
        producer = self._producer(spec)
        each = [producer.samples(part.split).gestures[: part.samples] for part in spec.parts]
        self.classes = np.concatenate(each)
        self.info = replace(self.info, classes=len(GESTURES))

    @classmethod
    def _producer(cls, spec: DataSpec) -> HagridHands:
        config = Config(**spec.config)
        root = Path(registered(spec.name, config.files).root)
        return HagridHands(root=root, margin=config.margin, digest=config.files)

    @classmethod
    def look_over(cls, root: Path, progress: Progress | None = None) -> Found:
        summary = check_root(root, progress)
        lines = [
            f"{part}: {found.pictures} pictures (version 1 has {PUBLISHED[part]}) of {found.gestures} "
            f"gestures by {found.users} users; their longest side has {found.side} pixels"
            for part, found in summary.parts.items()
        ]
        lines += [
            f"{split}: {sum(found.values())} samples ({', '.join(f'{n} {g}' for g, n in found.items())})"
            for split, found in summary.counts.items()
        ]
        if "test" not in summary.counts:
            lines.append("there is no test part (ann_test, test): nothing can be scored on these files")
        if "train" not in summary.counts:
            lines.append(
                "there is no training part (ann_train_val, train_val): nothing can be trained on them"
            )
        return Found(
            digest=sha256_text(canonical({part: found.sha256 for part, found in summary.parts.items()}))[:16],
            counts={SOURCE: {split: sum(found.values()) for split, found in summary.counts.items()}},
            text="\n".join(lines),
            problems=summary.problems,
        )

    @classmethod
    def draw(cls, samples: Sequence[Arrays]) -> bytes:
        names = [GESTURES[int(sample["gesture"])] for sample in samples]
        return dotted([(sample["rgb"], np.empty((0, 3))) for sample in samples], names)


class _Entry(msgspec.Struct, gc=False):
    """What is read of an entry; `UNSET` where it is absent."""

    bboxes: Any = msgspec.UNSET
    labels: Any = msgspec.UNSET
    user_id: Any = msgspec.UNSET
    leading_hand: Any = msgspec.UNSET


def _parts(root: Path) -> dict[str, Path]:
    """Official parts that are there, and the folders of their annotations."""
    found: dict[str, Path] = {}
    for choice in dict.fromkeys(PARTS.values()):
        there = {part: folder for part in choice if (folder := annotation_folder(root, part)) is not None}
        found |= dict(list(there.items())[:1])
    return found


def _first(root: Path, patterns: Sequence[str], part: str, gesture: str = "") -> Path | None:
    for pattern in patterns:
        for path in sorted(root.glob(pattern.format(part=part, gesture=gesture))):
            if path.is_dir():
                return path
    return None


_folder = lru_cache(maxsize=64)(picture_folder)


def _strangers(folder: Path) -> list[str]:
    names = sorted(path.name for path in folder.glob("*.json") if path.stem not in GESTURES)
    if not names:
        return []
    return [f"{folder}: {', '.join(names)}: version 1 has no such gesture; later releases have other samples"]


def _no_pictures(root: Path, part: str, gesture: str) -> str:
    wanted = [root / pattern.format(part=part, gesture=gesture) for pattern in _PICTURES[:2]]
    return f"no pictures of {gesture}: there is neither {wanted[0]} nor {wanted[1]}; unpack its archive there"


def _counting(part: str, total: int, progress: Progress | None) -> Callable[[], None]:
    """Return what is to be called after each picture of a part."""
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None and (done % 100 == 0 or done == total):
            progress(part, done, total)

    return step


def _sizes(
    root: Path, part: str, found: Annotations, step: Callable[[], None]
) -> tuple[list[tuple[int, int]], list[str]]:
    """Width and height of the pictures of a gesture, pixels, and a line per problem."""
    folder = picture_folder(root, part, found.gesture)
    if folder is None:
        return [], [_no_pictures(root, part, found.gesture)]
    try:
        there = {entry.name for entry in os.scandir(folder)}
    except OSError as error:
        return [], [f"{folder} cannot be read: {error.strerror}"]
    problems: list[str] = []
    files = [f"{name}.jpg" for name in found.ids]
    if missing := [file for file in files if file not in there]:
        problems.append(
            f"{folder / missing[0]} does not exist, as {len(missing)} of the {len(files)} pictures that the "
            f"annotations of {part} list; copy them there, or take them out of {found.gesture}.json"
        )
    sizes: list[tuple[int, int]] = []
    for file in files:
        if file in there:
            try:
                sizes.append(check_picture(folder / file))
            except DataError as error:
                problems.append(str(error))
        step()
    return sizes, problems


@lru_cache(maxsize=3)
def _samples(root: Path, split: str) -> Samples:
    for part, folder in _parts(root).items():
        if part in PARTS[split]:
            return _sorted(part, _annotations(folder), split)
    raise DataError(f"there is no {root / f'ann_{PARTS[split][0]}'}, the annotations of the split {split}")


@lru_cache(maxsize=2)
def _annotations(folder: Path) -> tuple[Annotations, ...]:
    return tuple(read_annotations(folder / f"{gesture}.json") for gesture in GESTURES)


def _sorted(part: str, read: Sequence[Annotations], split: str) -> Samples:
    """Put the hands of a split in order, see `HagridHands`."""
    ids = [name for found in read for name in found.ids]
    users = [user for found in read for user in found.users]
    known = {user: _hash(user) for user in set(users)}
    kept = {user for user in known if split == "test" or held_out(user) == (split == "val")}
    mine = np.flatnonzero([user in kept for user in users])
    counts = [len(found.ids) for found in read]
    gestures = np.repeat([GESTURES.index(found.gesture) for found in read], counts)[mine].astype(np.int64)
    hashes = np.array([int.from_bytes(_hash(ids[k])[:8], "big") for k in mine], np.uint64)
    by_gesture = np.lexsort((hashes, gestures))
    firsts = np.searchsorted(gestures[by_gesture], np.arange(len(GESTURES)))
    rounds = np.empty(len(mine), np.int64)
    rounds[by_gesture] = np.arange(len(mine)) - firsts[gestures[by_gesture]]
    order = np.lexsort((hashes, rounds))
    rows = mine[order]
    places = [np.arange(count) for count in counts]
    boxes = [found.boxes for found in read]
    return Samples(
        part=part,
        gestures=gestures[order],
        numbers=np.concatenate([np.empty(0, np.int64), *places])[rows],
        ids=tuple(ids[k] for k in rows),
        boxes=np.concatenate([np.empty((0, 4)), *boxes])[rows],
        users=np.array([int.from_bytes(known[users[k]][:8], "big") >> 1 for k in rows], np.int64),
    )


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _read(path: Path) -> tuple[Annotations | None, list[str]]:
    """Parse a file; return what is sound, None if nothing is, and a line per problem."""
    try:
        entries = msgspec.json.decode(path.read_bytes(), type=dict[str, _Entry])
    except FileNotFoundError:
        return None, [f"{path} does not exist; the annotations of version 1 have a file of each gesture"]
    except OSError as error:
        return None, [f"{path} cannot be read: {error.strerror}"]
    except msgspec.ValidationError as error:
        return None, [f"{path}: {error}; wanted are entries of version 1 by picture id"]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return None, [f"{path} is no valid JSON: {error}"]
    gesture = path.stem
    problems: list[str] = []
    unlike = [name for name, entry in entries.items() if entry.leading_hand is msgspec.UNSET]
    if unlike:
        problems.append(
            f"{len(unlike)} of {len(entries)} pictures have no leading_hand, e.g. {min(unlike)}: those of "
            "version 1 have it, those of later releases do not; take the annotations of version 1"
        )
    if not entries:
        problems.append("it lists no pictures")
    ids, boxes, users = [], [], []
    for name, entry in sorted(entries.items()):
        found = _hand_of(entry, name, gesture)
        if isinstance(found, str):
            problems.append(f"picture {name} {found}")
        else:
            ids.append(name)
            boxes.append(found)
            users.append(entry.user_id)
    rows = np.array(boxes, np.float64).reshape(-1, 4)
    outside = (rows[:, :2] < -REACH).any(1) | (rows[:, :2] + rows[:, 2:] > 1 + REACH).any(1)
    for k in np.flatnonzero(outside | (rows[:, 2:] <= 0).any(1)):
        problems.append(f"picture {ids[k]} has the box {boxes[k]}, {_WANTED}")
    sound = Annotations(gesture=gesture, ids=tuple(ids), boxes=rows, users=tuple(users))
    return sound, [f"{path}: {problem}" for problem in problems]


def _hand_of(entry: _Entry, name: str, gesture: str) -> list[float] | str:
    """Return the box of the hand that shows the gesture, or what is wrong with an entry."""
    labels, boxes, user = entry.labels, entry.bboxes, entry.user_id
    if not name or "/" in name or "\\" in name:
        return "has an id that is no name of a file"
    if not isinstance(labels, list) or not isinstance(boxes, list):
        return "lacks a list of bboxes or of labels"
    if len(labels) != len(boxes):
        return f"has {len(boxes)} bboxes and {len(labels)} labels"
    if gesture not in labels:
        return f"has no box with the label {gesture}, only {', '.join(map(str, labels)) or 'none'}"
    if not isinstance(user, str) or not user:
        return "has no user_id"
    box = boxes[labels.index(gesture)]
    if not isinstance(box, list) or len(box) != 4 or not {*map(type, box)} <= {float, int}:
        return f"has the box {box}, {_WANTED}"
    return box
