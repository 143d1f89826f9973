"""MPII Human Pose (Andriluka et al., CVPR 2014): reads the usual JSON lists and head boxes, cuts out persons.

    ROOT/annot/{train,valid}.json, gt_valid.mat
    ROOT/annotations/mpii_{train,val}.json, mpii_gt_val.mat     the same files under other names
    ROOT/images/005808361.jpg

The validation list, on which papers compare, is the split `test` here. Its joints are those of the `.mat`, as
in the usual evaluation; list and `.mat` tell of the same persons in the same order.

Positions are (x, y) in the plane of the picture: pixel x covers [x, x + 1). The files count pixels from 1: a
joint in pixel 1 lies at 0.5. Distances, such as head sizes, are the same in both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

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

JOINT_SET = "mpii16"
MARGIN = 1.25  # of the box, as usual (arXiv:1804.06208)
FILES = {"train": "train", "val": "train", "test": "valid"}  # split -> name of the list
NAMES = {  # below the root; the first that exists
    "train": ("annot/train.json", "annotations/mpii_train.json"),
    "valid": ("annot/valid.json", "annotations/mpii_val.json"),
    "heads": ("annot/gt_valid.mat", "annotations/mpii_gt_val.mat"),  # of `valid`
}
PICTURES = "images"

_JOINTS = len(JOINT_SETS[JOINT_SET])
_HEIGHT = 200  # pixels of a person of scale 1
_LOWER = 15  # pixels at scale 1 that the box lies below the annotated centre, which is in the upper body
_HEAD = 0.6  # head size over the diagonal of the head box
_CENTRE = -0.5  # from a pixel's number, counted from 1, to its middle in the plane
_NONE = -1  # what stands for no centre or scale
_APART = 1.0  # pixels that list and `.mat` may differ by

Progress = Callable[[str, int, int], None]  # what is being looked at, how much of it is done, of how much


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Person:
    """One entry of a list."""

    entry: int  # its number in the list, from 1
    file: str  # of the picture, below `images`
    centre: tuple[float, float]  # x, y in the plane of the picture
    scale: float  # height of the person over 200 pixels
    keypoints: Floats  # (16, 3): x, y in the plane of the picture, labelled 0 or 1
    head: float = 0.0  # size in pixels; 0 = no head box

    @property
    def labelled(self) -> bool:
        """Whether any joint is labelled."""
        return bool(self.keypoints[:, 2].any())

    @property
    def placed(self) -> bool:
        """Whether centre and scale are known."""
        return self.scale > 0

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Square around the person: x, y, width, height, pixels."""
        side = _HEIGHT * self.scale
        return self.centre[0] - side / 2, self.centre[1] + _LOWER * self.scale - side / 2, side, side

    @property
    def named(self) -> str:
        """What errors call it."""
        return f"person {self.entry}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """One list, in its order."""

    persons: tuple[Person, ...]  # with labelled joints, centre and scale: the samples
    unlabelled: int  # persons without labelled joints
    unplaced: int  # persons without centre or scale
    unlike: int = 0  # joints that only one of list and `.mat` calls labelled; the `.mat` counts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Heads:
    """What the `.mat` says of the persons of a list."""

    keypoints: Floats  # (N, 16, 3) as in `Person`
    sizes: Floats  # (N,) pixels


def read_annotations(root: Path, part: str) -> Annotations:
    """Read a list, and the head boxes that belong to `valid`.

    Args:
        root: folder of the data set.
        part: `train` or `valid`.

    Raises:
        DataError: a file is missing, no JSON or MATLAB file, or wrong somewhere; names the first problems.
    """
    annotations, problems = _read(root, part)
    if annotations is None or problems:
        raise DataError(few(problems))
    return annotations


def file_of(root: Path, part: str) -> Path:
    """Return the file of a list or of the head boxes, a key of `NAMES`; the first name where none exists."""
    paths = [root / name for name in NAMES[part]]
    return next((path for path in paths if path.exists()), paths[0])


def check_root(root: Path, progress: Progress | None = None) -> Found:
    """Look at everything below a root but the pixels: lists, head boxes, the head of every picture file.

    Args:
        root: folder of the data set.
        progress: called with the list, and how many of its pictures are done of how many.
    """
    lines: list[str] = []
    problems: list[str] = []
    digests: dict[str, str] = {}
    persons: dict[str, tuple[Person, ...]] = {}
    for part in dict.fromkeys(FILES.values()):
        path = file_of(root, part)
        if not path.exists():  # a user may have one list alone
            continue
        annotations, found = _read(root, part)
        problems += found
        if annotations is None:
            continue
        digests[part] = sha256_file(path)
        persons[part] = annotations.persons
        line = f"{part}: {len({p.file for p in annotations.persons})} pictures, "
        line += f"{len(annotations.persons)} persons, {annotations.unlabelled} unlabelled, "
        line += f"{annotations.unplaced} without a place"
        if part == "valid":
            digests["heads"] = sha256_file(file_of(root, "heads"))
            line += f", {annotations.unlike} joints labelled in one of JSON and .mat only"
            shared = {p.file for p in persons.get("train", ())} & {p.file for p in annotations.persons}
            line += f", {len(shared)} pictures also in train" if shared else ""
        lines.append(line)
        problems += _unfit(root, part, annotations.persons, progress)
    if not digests and not problems:
        wanted = " or ".join(str(root / name) for part in FILES.values() for name in NAMES[part])
        problems.append(f"there is neither {wanted}")
    counts: dict[str, int] = {}
    if not problems:
        there = {split: persons[part] for split, part in FILES.items() if part in persons}
        counts = {split: len(_split(people, split)) for split, people in there.items()}
    return Found(
        digest=sha256_text(canonical(digests))[:16],
        counts={SOURCE: counts},
        text="\n".join(lines),
        problems=tuple(problems),
    )


@dataclass(frozen=True, slots=True)
class MpiiPeople(OnePerClip):
    """Makes person crops; a clip is one person. See `bench.data.producer.Producer`.

    Splits: `test` is the official validation list, `val` one in twenty pictures of the training list, by a
    hash of the picture's name, `train` the others. Persons come in the order of their list.
    """

    root: Path
    margin: float = MARGIN
    digest: str = ""  # of the annotations

    @property
    def name(self) -> str:
        """What the samples depend on besides."""
        return f"mpii-v{self.version}-margin{self.margin:g}-{self.digest}"

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
            raise ConfigError(f"mpii/{split} has {there} persons with joints, {samples} are wanted")
        return samples

    def cluster(self, source: str, split: str, clip: int) -> int:
        """Picture of a person."""
        return _number(self.persons(split)[clip].file)

    def fields(self, source: str, size: tuple[int, int]) -> Mapping[str, Field]:
        """Arrays of a sample."""
        return {
            "rgb": Field(dtype="uint8", shape=(*size, 3), kind="image"),
            "keypoints": Field(dtype="float32", shape=(_JOINTS, 3), kind="joints2d", flip=JOINT_SET),
            "crop_matrix": Field(dtype="float32", shape=(3, 3)),  # from (x, y, 1) in the picture to the crop
            "head_size": Field(dtype="float32", shape=()),  # pixels of the picture; 0: unknown, never in test
            "box": Field(dtype="float32", shape=(4,)),  # x, y, width, height, pixels of the picture
            "entry": Field(dtype="int64", shape=()),  # number of the person in its list, from 1
        }

    def produce(self, source: str, split: str, clip: int, size: tuple[int, int]) -> Arrays:
        """Arrays of one person, one row.

        Joints that are not labelled are 0; labelled ones may lie outside the crop, and count when scored.

        Raises:
            DataError: the picture is missing or damaged; names file and person.
        """
        person = self.persons(split)[clip]
        try:
            picture = _decoded(self.root / PICTURES / person.file)
        except DataError as error:
            raise DataError(f"{error} ({person.named} of {FILES[split]})") from None
        pixels, matrix = crop_box(picture, person.box, size, self.margin)
        row: dict[str, Any] = {
            "rgb": pixels,
            "keypoints": crop_joints(person.keypoints, matrix),
            "crop_matrix": matrix,
            "head_size": person.head,
            "box": person.box,
            "entry": person.entry,
        }
        return one_row(row, self.fields(source, size))

    def persons(self, split: str) -> tuple[Person, ...]:
        """Persons of a split, in order.

        Raises:
            ConfigError: unknown split.
            DataError: the annotations cannot be read.
        """
        if split not in FILES:
            raise ConfigError(f'mpii has no split "{split}".{nearest(split, FILES)}')
        return _persons(self.root, split)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the data set."""

    margin: float = MARGIN  # factor on the box of a person, at least 1
    files: str = ""  # digest of the annotations; planning fills it in

    def __post_init__(self) -> None:
        if not self.margin >= 1:
            raise ConfigError(f"data.config.margin: {self.margin} is below 1, which cuts the box of a person")


class Mpii(ShardedDataset):
    """Person crops with joints and, in the test split, head sizes. Clusters are pictures."""

    Config = Config
    joint_set = JOINT_SET
    unit = "image"

    @classmethod
    def _producer(cls, spec: DataSpec) -> MpiiPeople:
        config = Config(**spec.config)
        root = Path(registered(spec.name, config.files).root)
        return MpiiPeople(root=root, margin=config.margin, digest=config.files)

    @classmethod
    def look_over(cls, root: Path, progress: Progress | None = None) -> Found:
        return check_root(root, progress)

    @classmethod
    def draw(cls, samples: Sequence[Arrays]) -> bytes:
        """Draw crops beside each other, labelled joints as green dots; none is marked as hidden."""
        return dotted([(sample["rgb"], sample["keypoints"] * (1, 1, 2)) for sample in samples])


@lru_cache(maxsize=3)
def _persons(root: Path, split: str) -> tuple[Person, ...]:
    return _split(_cached(root, FILES[split]).persons, split)


def _split(persons: tuple[Person, ...], split: str) -> tuple[Person, ...]:
    """Return those persons of a list that a split has."""
    if split == "test":
        return persons
    return tuple(person for person in persons if held_out(person.file) == (split == "val"))


@lru_cache(maxsize=2)
def _cached(root: Path, part: str) -> Annotations:
    return read_annotations(root, part)


_decoded = lru_cache(maxsize=2)(read_picture)  # the persons of a picture often follow each other


def _number(file: str) -> int:
    """Return a number for the name of a picture, 63 bits."""
    return int.from_bytes(hashlib.sha256(file.encode()).digest()[:8]) >> 1


def _unfit(root: Path, part: str, persons: tuple[Person, ...], progress: Progress | None) -> list[str]:
    """Look at the head of each picture; return a line per missing, damaged or too small one."""
    problems: list[str] = []
    shown: dict[str, list[Person]] = {}
    for person in persons:
        shown.setdefault(person.file, []).append(person)
    for done, (file, people) in enumerate(shown.items()):
        path = root / PICTURES / file
        try:
            width, height = check_picture(path)
        except DataError as error:
            problems.append(f"{error} ({people[0].named} of {part})")
        else:
            for person in people:
                x, y, side, _ = person.box
                if x >= width or y >= height or x + side <= 0 or y + side <= 0:
                    problems.append(
                        f"{path}: {person.named} of {part} lies outside the picture of {width} x {height} "
                        "pixels; copy the pictures in their original sizes"
                    )
        if progress is not None and (done % 100 == 99 or done + 1 == len(shown)):
            progress(part, done + 1, len(shown))
    return problems


def _read(root: Path, part: str) -> tuple[Annotations | None, list[str]]:
    """Parse a list, `valid` with its head boxes; return what is sound, None if nothing is, and problems."""
    path = file_of(root, part)
    try:
        listed = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None, [f"{path} does not exist; it is the usual JSON list of MPII's persons"]
    except OSError as error:
        return None, [f"{path} cannot be read: {error.strerror}"]
    except orjson.JSONDecodeError as error:
        return None, [f"{path} is no valid JSON: {error}"]
    if not isinstance(listed, list):
        return None, [f"{path}: no list of persons; wanted is the usual JSON list of MPII's persons"]
    persons: list[Person] = []
    problems: list[str] = []
    for entry, body in enumerate(listed, 1):
        found = _person_of(body, entry)
        if isinstance(found, Person):
            persons.append(found)
        else:
            problems.append(f"{path}: person {entry} {found}")
    unlike = 0
    if part == "valid":
        file = file_of(root, "heads")
        heads = _read_heads(file)
        if not isinstance(heads, Heads):
            return None, [*problems, f"{file} {heads}"]
        if len(heads.sizes) != len(listed):
            there = f"{file} has the heads of {len(heads.sizes)} persons"
            return None, [*problems, f"{there}, {path} lists {len(listed)}; copy both from one source"]
        problems += _strangers(persons, heads, path, file)
        unlike = sum(_unlike(person, heads) for person in persons)
        persons = [
            replace(p, keypoints=heads.keypoints[p.entry - 1], head=float(heads.sizes[p.entry - 1]))
            for p in persons
        ]
    return Annotations(
        persons=tuple(person for person in persons if person.labelled and person.placed),
        unlabelled=sum(not person.labelled for person in persons),
        unplaced=sum(person.labelled and not person.placed for person in persons),
        unlike=unlike,
    ), problems


def _person_of(body: object, entry: int) -> Person | str:
    """Return an entry of a list, or what is wrong with it."""
    keys = ("image", "center", "scale", "joints", "joints_vis")
    if not isinstance(body, dict):
        return f"is no table of {', '.join(keys)}"
    absent = [key for key in keys if key not in body]
    if absent:
        return f"lacks {', '.join(absent)}"
    if not inside(body["image"]):
        return f"has the picture {body['image']!r}, wanted the name of a file in {PICTURES}"
    centre, scale, seen = (numbers(body[key]) for key in ("center", "scale", "joints_vis"))
    if centre is None or len(centre) != 2:
        return f"has the center {body['center']}, wanted x, y"
    if scale is None or len(scale) != 1 or (scale[0] <= 0 and scale[0] != _NONE):
        return f"has the scale {body['scale']}, wanted its height over 200 pixels, or -1"
    joints = body["joints"]
    pairs = [numbers(pair) for pair in joints] if isinstance(joints, list) else []
    if len(pairs) != _JOINTS or any(pair is None or len(pair) != 2 for pair in pairs):
        return f"has other joints than {_JOINTS} finite x, y"
    if seen is None or len(seen) != _JOINTS or not np.isin(seen, (0, 1)).all():
        return f"has other joints_vis than {_JOINTS} times 0 or 1"
    placed = scale[0] > 0 and not (centre == _NONE).all()
    places = np.array(pairs) + _CENTRE
    return Person(
        entry=entry,
        file=body["image"],
        centre=(float(centre[0]) + _CENTRE, float(centre[1]) + _CENTRE),
        scale=float(scale[0]) if placed else 0.0,
        keypoints=np.concatenate([places, seen[:, None]], 1),
    )


def _read_heads(path: Path) -> Heads | str:
    """Read the `.mat`, or say what is wrong with it."""
    from scipy.io import loadmat  # slow to import, and planning imports this module

    shapes = {"jnt_missing": (_JOINTS,), "pos_gt_src": (_JOINTS, 2), "headboxes_src": (2, 2)}
    try:
        found = loadmat(str(path), appendmat=False, variable_names=list(shapes))
    except FileNotFoundError:
        return "does not exist; it has the head boxes of the validation list, which its scores need"
    except NotImplementedError:
        return "is a MATLAB file of version 7.3; save it with -v7"
    except Exception as error:  # scipy raises what comes on damaged files: ValueError, TypeError, zlib.error
        return f"is no MATLAB file, or a damaged one ({error}); copy it again"
    arrays: dict[str, NDArray[Any]] = {}
    for name, shape in shapes.items():
        if name not in found:
            return f"has no {name}; wanted is the usual gt_valid.mat of MPII"
        array = np.asarray(found[name])
        if array.ndim != len(shape) + 1 or array.shape[:-1] != shape or array.dtype.kind not in "buif":
            wanted = ", ".join(map(str, shape))
            return f"has {name} of shape {array.shape} ({array.dtype}), wanted numbers ({wanted}, persons)"
        arrays[name] = array.astype(np.float64)  # first of all: differences of unsigned numbers wrap around
    counts = {name: array.shape[-1] for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        return f"tells of different numbers of persons: {counts}"
    seen = arrays["jnt_missing"].T == 0  # (N, 16)
    places = arrays["pos_gt_src"].transpose(2, 0, 1) + _CENTRE  # (N, 16, 2)
    if lost := np.flatnonzero((seen & ~np.isfinite(places).all(2)).any(1)).tolist():
        return f"has a joint at no finite place, of person {lost[0] + 1} ({len(lost)} such persons)"
    boxes = arrays["headboxes_src"]
    sizes = _HEAD * np.hypot(*(boxes[1] - boxes[0]))
    if lost := np.flatnonzero(~(np.isfinite(sizes) & (sizes > 0))).tolist():
        return f"has an empty head box, of person {lost[0] + 1} ({len(lost)} such persons)"
    joints = np.concatenate([np.where(seen[..., None], places, 0), seen[..., None]], 2)
    return Heads(keypoints=joints, sizes=sizes)


def _strangers(persons: list[Person], heads: Heads, path: Path, file: Path) -> list[str]:
    """Return a line if persons of the list are elsewhere in the `.mat`, e.g. in another order."""
    odd = []
    for person in persons:
        other = heads.keypoints[person.entry - 1]
        both = (person.keypoints[:, 2] > 0) & (other[:, 2] > 0)
        apart = np.hypot(*(person.keypoints[both, :2] - other[both, :2]).T)
        if both.any() and np.median(apart) > _APART:
            odd.append(person.entry)
    if not odd:
        return []
    return [
        f"{file}: the joints of person {odd[0]} are not those in {path} ({len(odd)} such persons); "
        "copy both from one source"
    ]


def _unlike(person: Person, heads: Heads) -> int:
    """Count the joints that only one of list and `.mat` calls labelled."""
    return int((person.keypoints[:, 2] != heads.keypoints[person.entry - 1][:, 2]).sum())
