from __future__ import annotations

import numpy as np
import pytest

from bench.errors import ConfigError
from bench.synth.domains import BLOCK, DOMAINS, SPLITS
from bench.synth.groups import (
    D_SCENES,
    GENERATOR_VERSION,
    GROUPS,
    LEAST_SEEN,
    MOST,
    STRIDE,
    Drawn,
    _in_front,
    _numbered,
    boxes_of,
    first_id,
    render_group,
)
from bench.synth.raster import Raster

SIZE = 64


@pytest.fixture(scope="module")
def pictures() -> list[dict[str, np.ndarray]]:
    return [render_group("d_scenes", "train", k, size=SIZE, seed=0) for k in range(12)]


def test_pictures_show_one_to_three_people(pictures: list[dict[str, np.ndarray]]) -> None:
    counts = {int(picture["person"].max()) for picture in pictures}
    assert counts == set(range(1, MOST + 1))
    for picture in pictures:
        numbers = np.unique(picture["person"])
        assert numbers.tolist() == list(range(len(numbers)))  # without gaps, and background


def test_labels_are_of_the_same_pixels(pictures: list[dict[str, np.ndarray]]) -> None:
    for picture in pictures:
        person, boxes = picture["person"], picture["boxes"]
        np.testing.assert_array_equal(picture["fid"] >= 0, person > 0)
        assert not picture["uv"][person == 0].any()
        for k in range(MOST):
            rows, columns = np.nonzero(person == k + 1)
            if not len(rows):
                assert not boxes[k].any()
                continue
            x0, y0, x1, y1 = boxes[k].astype(int).tolist()
            inside = np.zeros(person.shape, bool)
            inside[y0:y1, x0:x1] = True
            assert inside[rows, columns].all()
            assert x0 == columns.min() and y1 == rows.max() + 1


def test_a_picture_depends_on_its_number_alone(pictures: list[dict[str, np.ndarray]]) -> None:
    again = render_group("d_scenes", "train", 5, size=SIZE, seed=0)
    assert all(np.array_equal(pictures[5][name], again[name]) for name in again)
    for other in (
        render_group("d_scenes", "train", 5, size=SIZE, seed=1),
        render_group("d_scenes", "val", 5, size=SIZE, seed=0),
    ):
        assert not np.array_equal(other["rgb"], again["rgb"])


def test_people_are_those_of_no_other_picture_or_domain() -> None:
    assert D_SCENES.index not in {domain.index for domain in DOMAINS.values()}
    firsts = [
        first_id(s, split, k) for s in GROUPS for split in GROUPS[s].splits for k in (0, 1, 9, 2**21 - 1)
    ]
    assert len(set(firsts)) == len(firsts) and MOST <= STRIDE
    assert all(b - a >= STRIDE for a, b in zip(sorted(firsts), sorted(firsts)[1:], strict=False))
    lowest = D_SCENES.index * len(SPLITS) * BLOCK
    assert lowest <= min(firsts) and max(firsts) + STRIDE <= min(lowest + len(SPLITS) * BLOCK, 2**31)
    assert max(d.index for d in DOMAINS.values()) < D_SCENES.index


def drawn(depth: np.ndarray, who: np.ndarray | None = None) -> Drawn:
    ids = np.where(np.isfinite(depth), 0, -1).astype(np.int32)
    seen = np.where(ids >= 0, -2, -1).astype(np.int32) if who is None else who
    raster = Raster(
        ids=ids, depth=depth, bary=np.zeros((*depth.shape, 2), np.float32), front=np.zeros(0, np.int32)
    )
    return Drawn(raster, depth, seen)


def test_the_nearest_is_seen() -> None:
    none = np.inf
    a = drawn(np.array([[2.0, 2.0], [none, 2.0]], np.float32))
    b = drawn(np.array([[1.0, 3.0], [none, 2.0]], np.float32))
    assert _in_front([a, b]).tolist() == [[2, 1], [0, 1]]
    hidden = drawn(a.z, np.array([[-2, 4], [-1, -2]], np.int32))  # a thing stands before one pixel
    assert _in_front([hidden, b]).tolist() == [[2, 2], [0, 1]]


def test_who_hardly_shows_is_left_out() -> None:
    whole = drawn(np.ones((10, 10), np.float32)).raster
    person = np.zeros((10, 10), np.uint8)
    person[0, : int(100 * LEAST_SEEN) - 5] = 1
    person[2:] = 2
    shown, given = _numbered(person, [whole, whole], 10)
    assert np.array_equal(shown, (person == 2).astype(np.uint8)) and set(np.unique(given)) == {0, 2}
    np.testing.assert_array_equal(boxes_of(shown), [[0, 2, 10, 10], [0] * 4, [0] * 4])


@pytest.mark.parametrize(
    ("source", "split", "picture", "size"),
    [("d_dense", "train", 0, 64), ("d_scenes", "pretrain", 0, 64), ("d_scenes", "val", 2**21, 64),
     ("d_scenes", "val", 0, 8)],
)  # fmt: skip
def test_what_there_is_not_is_refused(source: str, split: str, picture: int, size: int) -> None:
    with pytest.raises(ConfigError):
        render_group(source, split, picture, size=size, seed=0)


def test_version() -> None:
    from bench.datasets.people_scenes import MOST as PADDED
    from bench.datasets.people_scenes import SPLITS as OF_SOURCES
    from bench.datasets.people_scenes import VERSION

    assert (VERSION, PADDED) == (GENERATOR_VERSION, MOST)
    assert {name: domain.splits for name, domain in GROUPS.items()} == OF_SOURCES
