"""Pictures of a user's own data sets: reading them, cutting boxes out; names and numbers beside them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFile, ImageOps

from bench.dataset import Arrays, Field
from bench.errors import DataError

SOURCE = "main"  # of data sets that are one collection
HELD_OUT = 20  # one in so many training pictures is for validation
UNLABELLED = 255  # class of pixels that do not count

_SHOWN = 3  # problems that an error names
_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)  # of EXIF: the tag, its values that swap width and height

Floats = NDArray[np.float64]
Classes = NDArray[np.uint8]


class OnePerClip:
    """What producers of crops have in common: one source, a clip of one sample.

    See `bench.data.producer.Producer`.
    """

    __slots__ = ()

    def sources(self) -> tuple[str, ...]:
        """Names of the sources: one."""
        return (SOURCE,)

    def clip_shape(self, source: str) -> tuple[int, int]:
        """Frames and views of a clip: one crop."""
        return 1, 1

    def warm_up(self) -> None:
        """Compile nothing."""


def held_out(picture: int | str) -> bool:
    """Whether a training picture is for validation, by a hash of its id or name: one in `HELD_OUT`."""
    return hashlib.sha256(str(picture).encode()).digest()[0] * HELD_OUT < 256


def read_picture(path: Path, wanted: tuple[int, int] | None = None) -> Image.Image:
    """Read a picture in RGB, turned as the annotations want it.

    Args:
        path: of the picture.
        wanted: its (width, height) in the annotations, pixels; None where they tell none: as it is stored.

    Raises:
        DataError: the file is missing, damaged, or of another size.
    """
    with _opened(path) as image:
        turn = _turned(image, path, wanted)
        try:
            return (ImageOps.exif_transpose(image) if turn else image).convert("RGB")
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"{path}: the picture is damaged ({error}); copy it again") from None


def check_picture(path: Path, wanted: tuple[int, int] | None = None) -> tuple[int, int]:
    """Return the (width, height) that `read_picture` gives; raise as it does, but for damage further on."""
    with _opened(path) as image:
        _turned(image, path, wanted)
        return wanted or image.size


def read_classes(path: Path, count: int) -> Classes:
    """Read a map of classes: the values of an 8-bit PNG with one channel, whatever colours a palette has.

    Args:
        path: of the map.
        count: of the classes; 255 stands for pixels without one.

    Returns:
        (H, W).

    Raises:
        DataError: the file is missing, damaged, no such PNG, or has a class beyond `count`.
    """
    with _opened(path) as image:
        _only_classes(image, path)
        try:
            classes: Classes = np.array(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"{path}: the picture is damaged ({error}); copy it again") from None
    strange = classes[(classes >= count) & (classes != UNLABELLED)]
    if strange.size:
        wanted = f"0..{count - 1}, and {UNLABELLED} for none"
        raise DataError(f"{path}: a pixel has the class {strange.max()}, wanted are {wanted}")
    return classes


def check_classes(path: Path) -> tuple[int, int]:
    """Return (width, height) of a map of classes; raise as `read_classes` does, but for what pixels say."""
    with _opened(path) as image:
        _only_classes(image, path)
        return image.size


def crop_box(
    image: Image.Image, box: ArrayLike, size: tuple[int, int], margin: float
) -> tuple[NDArray[np.uint8], Floats]:
    """Cut a box out; the aspect ratio is kept, what lies outside the picture is black.

    Where the crop is smaller than the box its pixels are area averages with a linear fall-off, elsewhere
    bilinear interpolations.

    Args:
        image: RGB.
        box: x, y, width, height, pixels.
        size: (H, W) of the crop.
        margin: factor on the box, which first grows to the ratio of `size`.

    Returns:
        (H, W, 3); and the map from positions (x, y, 1) in the picture to those in the crop, (3, 3).
    """
    x, y, width, height = np.asarray(box, np.float64)
    zoom = min(size[1] / width, size[0] / height) / margin  # pixels of the crop per pixel of the picture
    across, down = size[1] / zoom, size[0] / zoom
    left, top = x + width / 2 - across / 2, y + height / 2 - down / 2
    # PIL resamples a part of a picture with fractional borders, but only inside: so frame it first
    low_x, low_y = int(np.floor(left)), int(np.floor(top))
    framed = image.crop((low_x, low_y, int(np.ceil(left + across)) + 1, int(np.ceil(top + down)) + 1))
    part = (left - low_x, top - low_y, left - low_x + across, top - low_y + down)
    crop = framed.resize((size[1], size[0]), Image.Resampling.BILINEAR, box=part)
    return np.asarray(crop), np.array([[zoom, 0, -zoom * left], [0, zoom, -zoom * top], [0, 0, 1]])


def crop_joints(joints: Floats, matrix: Floats) -> Floats:
    """Bring joints (J, 3), x, y and visibility, from a picture to a crop; those not labelled are 0.

    Args:
        joints: labelled ones may end outside the crop.
        matrix: of `crop_box`.
    """
    moved = joints.copy()
    moved[:, :2] = joints[:, :2] @ matrix[:2, :2].T + matrix[:2, 2]
    moved[joints[:, 2] == 0] = 0
    return moved


def one_row(values: Mapping[str, Any], fields: Mapping[str, Field]) -> Arrays:
    """Return the values of one sample as arrays of one row, in the types of its fields."""
    return {name: np.asarray(values[name], made.dtype)[None] for name, made in fields.items()}


def few(problems: Sequence[str]) -> str:
    """Return the first problems of a file in one line, and how many more there are."""
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return "; ".join(problems[:_SHOWN]) + more


def inside(name: object) -> bool:
    """Whether a name in an annotation file is that of a file below its folder."""
    return (
        isinstance(name, str) and bool(name) and not Path(name).is_absolute() and ".." not in Path(name).parts
    )


def dotted(rows: Sequence[tuple[NDArray[np.uint8], Floats]], names: Sequence[str] = ()) -> bytes:
    """Draw crops beside each other, labelled joints as dots: visible ones green, hidden ones red; a PNG.

    Args:
        rows: pixels (H, W, 3) of one size, and joints (J, 3): x, y, visibility 0, 1, 2; (0, 3) for none.
        names: what is written on each, if anything.
    """
    height, width = rows[0][0].shape[:2]
    zoom = max(1, 128 // height)
    canvas = Image.new("RGB", (len(rows) * width * zoom, height * zoom))
    draw = ImageDraw.Draw(canvas)
    for k, (pixels, joints) in enumerate(rows):
        crop = Image.fromarray(pixels).resize((width * zoom, height * zoom), Image.Resampling.BICUBIC)
        canvas.paste(crop, (k * width * zoom, 0))
        for x, y, seen in joints[joints[:, 2] > 0] * (zoom, zoom, 1):
            place = (k * width * zoom + x, y)
            box = (place[0] - 2, place[1] - 2, place[0] + 2, place[1] + 2)
            draw.ellipse(box, fill="lime" if seen == 2 else "red")
    for k, name in enumerate(names):
        place = (k * width * zoom + 2, height * zoom - 12)
        draw.text(place, name, fill="white", stroke_width=1, stroke_fill="black")
    stream = io.BytesIO()
    canvas.save(stream, format="PNG", optimize=False)
    return stream.getvalue()


def numbers(value: object) -> Floats | None:
    """Return finite numbers as an array (n,), or None."""
    try:
        array = np.atleast_1d(np.array(value, np.float64))
    except (TypeError, ValueError):
        return None
    return array if array.ndim == 1 and np.isfinite(array).all() else None


def _opened(path: Path) -> ImageFile.ImageFile:
    try:
        return Image.open(path)
    except FileNotFoundError:
        raise DataError(f"{path}: the picture does not exist; copy it there") from None
    except (OSError, SyntaxError, ValueError):
        raise DataError(f"{path}: this is no picture, or a damaged one; copy it again") from None


def _only_classes(image: ImageFile.ImageFile, path: Path) -> None:
    # grey values of fewer than eight bits would be stretched to 0..255
    stretched = image.format == "PNG" and str(image.tile[0][3]).startswith("L;")
    if image.format != "PNG" or image.mode not in ("L", "P") or stretched:
        kind = f"{image.format} {image.mode}" + " of fewer than 8 bits" * stretched
        raise DataError(f"{path}: the map of classes is {kind}, wanted is an 8-bit PNG of mode L or P")


def _turned(image: Image.Image, path: Path, wanted: tuple[int, int] | None) -> bool:
    """Whether a picture is to be turned as its camera says; not where that contradicts the annotations.

    Raises:
        DataError: neither way has the picture the size in the annotations.
    """
    if wanted is None:
        return False
    turn = image.getexif().get(_ORIENTATION, 1)
    if turn != 1 and (image.size[::-1] if turn in _SIDEWAYS else image.size) == wanted:
        return True
    if image.size == wanted:
        return False
    width, height = image.size
    raise DataError(
        f"{path}: the picture has {width} x {height} pixels, the annotations say {wanted[0]} x {wanted[1]}"
    )
