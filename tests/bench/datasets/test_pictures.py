from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.datasets.pictures import check_picture, crop_box, inside, numbers, read_picture

WIDTH, HEIGHT = 64, 48
MARGIN = 1.25


def ramp(height: int, width: int) -> Image.Image:
    """A picture whose red is the column and whose green is the row of each pixel's middle, times 2."""
    rows, cols = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([2 * cols + 1, 2 * rows + 1, 0 * rows], -1).astype(np.uint8))


@pytest.mark.parametrize("box", [[20.3, 30.6, 31.0, 17.2], [40.0, 20.0, 8.0, 11.5], [5.0, 5.0, 90.0, 70.0]])
@pytest.mark.parametrize("size", [(64, 48), (16, 12), (50, 50)])
def test_pixels_lie_where_the_matrix_says(box: list[float], size: tuple[int, int]) -> None:
    crop, matrix = crop_box(ramp(100, 120), box, size, MARGIN)
    assert crop.shape == (*size, 3)
    rows, cols = np.mgrid[: size[0], : size[1]] + 0.5
    back = np.linalg.inv(matrix)
    x, y = (back[i, 0] * cols + back[i, 1] * rows + back[i, 2] for i in (0, 1))
    reach = 1 + 1 / matrix[0, 0]  # what is blended may come from outside
    inner = (x > reach) & (x < 120 - reach) & (y > reach) & (y < 100 - reach)
    assert inner.sum() > 20
    np.testing.assert_allclose(crop[..., 0][inner] / 2, x[inner], atol=0.6)
    np.testing.assert_allclose(
        crop[..., 1][inner] / 2, y[inner], atol=0.6
    )  # bytes are rounded in both passes
    outside = (x < -reach) | (y < -reach) | (x > 120 + reach) | (y > 100 + reach)
    assert not crop[outside].any()


def test_box_grows_to_the_ratio_then_by_the_margin() -> None:
    _, matrix = crop_box(ramp(100, 120), [40, 30, 30, 20], (64, 48), MARGIN)
    corners = np.array([[40, 30, 1], [70, 50, 1]]) @ matrix.T
    across = 48 / 1.25
    np.testing.assert_allclose(corners[:, 0], [24 - across / 2, 24 + across / 2])
    np.testing.assert_allclose(corners[:, 1], [32 - across / 3, 32 + across / 3])
    assert matrix[0, 0] == matrix[1, 1]


def test_shrinking_averages_areas() -> None:
    board = (np.indices((96, 96)).sum(0) % 2 * 255).astype(np.uint8)
    crop, _ = crop_box(Image.fromarray(np.stack([board] * 3, -1)), [24, 24, 48, 48], (8, 8), MARGIN)
    assert (np.abs(crop[1:-1, 1:-1].astype(int) - 127) < 12).all()


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "P"])
def test_pictures_of_all_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    grey = Image.new("RGB", (WIDTH, HEIGHT), (102, 102, 102)).convert(mode)
    path = tmp_path / ("a.jpg" if mode in ("L", "CMYK") else "a.png")
    grey.save(path)
    found = np.asarray(read_picture(path, (WIDTH, HEIGHT)))
    assert found.shape == (HEIGHT, WIDTH, 3)
    assert (np.abs(found.astype(int) - 102) <= 3).all()


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
@pytest.mark.parametrize("raw", [True, False])
def test_pictures_are_turned_where_the_annotations_agree(tmp_path: Path, turn: int, raw: bool) -> None:
    """The size in the annotations is that of the turned picture, or (raw) that of the stored pixels."""
    sideways = turn in (6, 8)
    stored = (HEIGHT, WIDTH) if sideways and not raw else (WIDTH, HEIGHT)
    image = Image.new("RGB", stored)
    image.paste((255, 255, 255), (0, 0, 8, 8))  # the first corner
    exif = Image.Exif()
    exif[0x0112] = turn
    image.save(tmp_path / "a.png", exif=exif)
    found = np.asarray(read_picture(tmp_path / "a.png", (WIDTH, HEIGHT)))[..., 0]
    assert found.shape == (HEIGHT, WIDTH)
    corner = (0, 0) if sideways and raw else {1: (0, 0), 3: (-1, -1), 6: (0, -1), 8: (-1, 0)}[turn]
    assert found[corner] == 255
    assert (found == 255).sum() == 64
    as_stored = np.asarray(read_picture(tmp_path / "a.png"))[..., 0]
    assert as_stored.shape == stored[::-1] and as_stored[0, 0] == 255


@pytest.mark.parametrize("name", ["", 7, None, "/etc/passwd", "../other.jpg", "a/../../b.jpg"])
def test_names_that_lead_elsewhere(name: object) -> None:
    assert not inside(name)
    assert inside("a/b.jpg")


def test_numbers_are_finite() -> None:
    assert [numbers(value) is None for value in (3, [1, 2.5], "x", [1, None], [float("nan")], [[1]])] == [
        False, False, True, True, True, True,
    ]  # fmt: skip


def test_check_tells_the_size_that_reading_gives(tmp_path: Path) -> None:
    image = ramp(20, 30)
    tag = Image.Exif()
    tag[0x0112] = 6  # a quarter turn
    image.save(tmp_path / "a.jpg", exif=tag)
    for wanted in (None, (30, 20), (20, 30)):
        assert check_picture(tmp_path / "a.jpg", wanted) == read_picture(tmp_path / "a.jpg", wanted).size
