"""LIP, Look Into Person, single persons (arXiv:1703.05446): reads the official lists, pictures, label maps.

    ROOT/TrainVal_images/{train,val}_id.txt
    ROOT/TrainVal_images/{train,val}_images/77_471474.jpg
    ROOT/TrainVal_parsing_annotations/{train,val}_segmentations/77_471474.png

Each of these may lie in ROOT itself instead, or deeper in folders of the same name, as archives unpack. The
multi-person part of LIP has other names and other classes.

A picture shows one person cut out of COCO; its id is COCO's id of the picture, `_`, and that of the person.
The official parts share pictures of COCO, not persons.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from bench.bodymodels.surface import LIP_NAMES
from bench.data.sharded import ShardedDataset
from bench.dataset import Arrays, DataSpec, Field, Found
from bench.datasets.pictures import (
    SOURCE,
    UNLABELLED,
    OnePerClip,
    check_classes,
    check_picture,
    few,
    held_out,
    inside,
    read_classes,
    read_picture,
)
from bench.errors import ConfigError, DataError, nearest
from bench.files import canonical, sha256_file, sha256_text
from bench.grid.places import registered
from bench.palette import paint_classes

FILES = {"train": "train", "val": "train", "test": "val"}  # split -> name of the official part

_FOLDERS = ("TrainVal_images", "TrainVal_parsing_annotations")
_NESTED = 3  # times that a folder may lie in one of its name
_OF_COCO = re.compile(r"([0-9]{1,12})_[0-9]+")

Progress = Callable[[str, int, int], None]  # what is being looked at, how much of it is done, of how much


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where an official part lies."""

    ids: Path  # the list
    pictures: Path  # folders
    labels: Path

    def picture(self, name: str) -> Path:
        """File of a picture."""
        return self.pictures / f"{name}.jpg"

    def label(self, name: str) -> Path:
        """File of its label map."""
        return self.labels / f"{name}.png"


def list_file(root: Path, part: str) -> Path | None:
    """List of an official part, `train` or `val`; None = the part is not there."""
    return _found(root, f"{part}_id.txt")


def places(root: Path, part: str) -> Places:
    """Find an official part.

    Raises:
        DataError: its list or one of its folders is not there.
    """
    names = {"ids": f"{part}_id.txt", "pictures": f"{part}_images", "labels": f"{part}_segmentations"}
    found = {kind: _found(root, name) for kind, name in names.items()}
    absent = [names[kind] for kind, path in found.items() if path is None]
    if absent:
        raise DataError(f"{root}: there is no {', no '.join(absent)}, neither there nor in {_looked_at()}")
    return Places(**{kind: path for kind, path in found.items() if path is not None})


def read_ids(path: Path) -> tuple[str, ...]:
    """Read a list, one id a line, in its order.

    Raises:
        DataError: it cannot be read, is empty, names an id twice, or something that is no id.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the list cannot be read ({error})") from None
    ids = [line.strip() for line in lines]
    problems = [
        f"line {number} is {name!r:.60}, wanted is an id, e.g. 77_471474"
        for number, name in enumerate(ids, 1)
        if name and (not inside(name) or len(name.split()) > 1 or Path(name).name != name)
    ]
    listed = tuple(filter(None, ids))
    problems += [f"{name} is listed {count} times" for name, count in Counter(listed).items() if count > 1]
    if problems or not listed:
        raise DataError(f"{path}: {few(problems) or 'the list is empty'}")
    return listed


def picture_of(name: str) -> int | None:
    """Id of the picture of COCO that a sample was cut out of; None where its own id does not tell."""
    found = _OF_COCO.fullmatch(name)
    return int(found[1]) if found else None


def of_split(ids: Sequence[str], split: str) -> tuple[str, ...]:
    """Return those of an official part that are in a split; pictures of COCO stay together."""
    if split == "test":
        return tuple(ids)
    return tuple(name for name in ids if held_out(_together(name)) == (split == "val"))


@dataclass(frozen=True, slots=True)
class LipPeople(OnePerClip):
    """Resizes pictures and label maps; a clip is one picture. See `bench.data.producer.Producer`.

    Splits: `test` is the official `val`, `val` one in twenty pictures of COCO in the official `train`, by the
    hash that `coco` uses, `train` the others, all in the order of the official lists.
    """

    root: Path
    digest: str = ""  # of the files

    @property
    def name(self) -> str:
        """What the samples depend on besides."""
        return f"lip-v{self.version}-{self.digest}"

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
            ConfigError: unknown split, or not so many pictures.
            DataError: a list cannot be read.
        """
        there = len(self.ids(split))
        if samples > there:
            raise ConfigError(f"lip/{split} has {there} pictures, {samples} are wanted")
        return samples

    def cluster(self, source: str, split: str, clip: int) -> int:
        """Picture of COCO; where the id does not tell it, a number below 0 of the sample's own."""
        picture = picture_of(self.ids(split)[clip])
        return -1 - clip if picture is None else picture

    def fields(self, source: str, size: tuple[int, int]) -> Mapping[str, Field]:
        """Arrays of a sample."""
        return {
            "rgb": Field(dtype="uint8", shape=(*size, 3), kind="image"),
            "garments": Field(dtype="uint8", shape=size, kind="classes", flip="lip20", absent=UNLABELLED),
        }

    def produce(self, source: str, split: str, clip: int, size: tuple[int, int]) -> Arrays:
        """Arrays of one picture, one row; the aspect ratio is not kept, as in arXiv:1908.07919.

        Classes are those at the middle of each pixel; colours are area averages with a linear fall-off where
        the picture shrinks, elsewhere bilinear interpolations.

        Raises:
            DataError: a file is missing, damaged, of another size, or has unknown classes.
        """
        name, there = self.ids(split)[clip], _places(self.root, FILES[split])
        classes = read_classes(there.label(name), len(LIP_NAMES))
        picture = read_picture(there.picture(name), (classes.shape[1], classes.shape[0]))
        height, width = size
        return {
            "rgb": np.array(picture.resize((width, height), Image.Resampling.BILINEAR))[None],
            "garments": np.array(Image.fromarray(classes).resize((width, height), Image.Resampling.NEAREST))[
                None
            ],
        }

    def ids(self, split: str) -> tuple[str, ...]:
        """Ids of a split, in order.

        Raises:
            ConfigError: unknown split.
            DataError: the list cannot be read.
        """
        if split not in FILES:
            raise ConfigError(f'lip has no split "{split}".{nearest(split, FILES)}')
        return _ids(self.root, split)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the data set."""

    files: str = ""  # digest of the files; planning fills it in


class Lip(ShardedDataset):
    """Persons with a map of 20 classes. Clusters are pictures of COCO."""

    Config = Config
    unit = "image"

    @classmethod
    def _producer(cls, spec: DataSpec) -> LipPeople:
        config = Config(**spec.config)
        return LipPeople(root=Path(registered(spec.name, config.files).root), digest=config.files)

    @classmethod
    def look_over(cls, root: Path, progress: Progress | None = None) -> Found:
        """Look at the lists, and at the head of every picture and label map.

        The digest covers the lists, and name and size in bytes of the label maps; not the pictures.
        """
        counts: dict[str, int] = {}
        lines: list[str] = []
        words: dict[str, list[str]] = {}
        problems: list[str] = []
        owner: dict[str, str] = {}
        parts = [part for part in dict.fromkeys(FILES.values()) if list_file(root, part)]
        if not parts:
            problems.append(
                f"{root}: there is neither train_id.txt nor val_id.txt, neither there nor in {_looked_at()}"
            )
        for part in parts:  # a user may have one part alone
            try:
                there = places(root, part)
                ids = read_ids(there.ids)
            except DataError as error:
                problems.append(str(error))
                continue
            problems += [f"{there.ids}: {name} is in {owner[name]}, too" for name in ids if name in owner]
            owner |= dict.fromkeys(ids, there.ids.name)
            sizes = []  # of label maps, bytes
            for done, name in enumerate(ids, 1):
                try:
                    check_picture(there.picture(name), check_classes(there.label(name)))
                    sizes.append(f"{name} {there.label(name).stat().st_size}")
                except DataError as error:
                    problems.append(str(error))
                if progress is not None and (done % 100 == 0 or done == len(ids)):
                    progress(part, done, len(ids))
            words[part] = [sha256_file(there.ids), sha256_text("\n".join(sizes))]
            counts |= {split: len(of_split(ids, split)) for split, own in FILES.items() if own == part}
            lines.append(f"{part}: {len(ids)} pictures, cut out of {len(set(map(_together, ids)))}")
        digest = sha256_text(canonical(words))[:16]
        return Found(digest=digest, counts={SOURCE: counts}, text="\n".join(lines), problems=tuple(problems))

    @classmethod
    def draw(cls, samples: Sequence[Arrays]) -> bytes:
        rows = [
            [sample["rgb"] for sample in samples],
            [paint_classes(sample["garments"]) for sample in samples],
        ]
        stream = io.BytesIO()
        sheet = np.concatenate([np.concatenate(row, 1) for row in rows])
        Image.fromarray(sheet).save(stream, format="PNG", optimize=False)
        return stream.getvalue()


def _together(name: str) -> int | str:
    """What samples of one picture of COCO have in common, else the sample's own id."""
    picture = picture_of(name)
    return name if picture is None else picture


def _found(root: Path, name: str) -> Path | None:
    """Return the first place of a file or folder below a root."""
    deeper = [root.joinpath(*[folder] * depth) for folder in _FOLDERS for depth in range(1, _NESTED + 1)]
    return next((place / name for place in (root, *deeper) if (place / name).exists()), None)


def _looked_at() -> str:
    return " or ".join(_FOLDERS)


@lru_cache(maxsize=2)
def _places(root: Path, part: str) -> Places:
    return places(root, part)


@lru_cache(maxsize=3)
def _ids(root: Path, split: str) -> tuple[str, ...]:
    return of_split(read_ids(_places(root, FILES[split]).ids), split)
