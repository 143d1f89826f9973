from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.data.people import DERIVED, MODALITIES, People
from toy_renderer import ToyRenderer

from bench.bodymodels.surface import surrogate_labels
from bench.data import build as building
from bench.data import manifest, shards
from bench.data.build import build
from bench.errors import ConfigError, DataError

Make = Callable[..., dict[str, Any]]
TOY = ToyRenderer()
PARTS = (("lab", "train", 31), ("wild", "train", 20), ("lab", "val", 6))


@pytest.fixture
def people(spec_of: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> People:
    monkeypatch.setattr(building, "SHARD", 12)
    build([spec_of(*PARTS)], tmp_path, TOY)
    return People(spec_of(*PARTS), tmp_path, source=TOY)


def drawn(name: str) -> np.ndarray[Any, Any]:
    """A field straight from the renderer."""
    rows = []
    for domain, split, samples in PARTS:
        clips = range(TOY.clips(domain, split, samples))
        rows.append(
            np.concatenate([TOY.render(domain, split, c, size=16, seed=0)[name] for c in clips])[:samples]
        )
    return np.concatenate(rows)


def test_rows_are_what_was_rendered(people: People) -> None:
    assert len(people) == people.info.n_samples == 57 and people.info.image_size == 16
    picks = np.random.default_rng(0).permutation(57)[:40]
    got = people.batch(picks, list(TOY.fields(16)))
    for name in TOY.fields(16):
        np.testing.assert_array_equal(got[name], drawn(name)[picks])
    np.testing.assert_array_equal(got["sample_id"], picks)
    np.testing.assert_array_equal(got["valid.depth"], [p < 31 or p >= 51 for p in picks])
    assert got["valid.rgb"].all() and got["valid.kp2d"].all()
    assert len(people.batch([], ["rgb"])["rgb"]) == 0
    np.testing.assert_array_equal(people.batch([3, 3], ["kp"])["kp"], drawn("kp")[[3, 3]])


def test_a_folder_that_has_grown_gives_the_same_rows(people: People, spec_of: Make, tmp_path: Path) -> None:
    larger = tuple((domain, split, samples + 13) for domain, split, samples in PARTS)
    build([spec_of(*larger)], tmp_path, TOY)
    again = People(spec_of(*PARTS), tmp_path, source=TOY)
    assert again.ids == people.ids
    for name in TOY.fields(16):
        np.testing.assert_array_equal(again.batch(np.arange(57), [name])[name], drawn(name))


def test_derived_fields_are_look_ups(people: People) -> None:
    got = people.batch(np.arange(57), DERIVED)
    fid, labels = drawn("fid"), surrogate_labels()
    body = fid >= 0
    assert body.any() and (~body).any()
    np.testing.assert_array_equal(got["mask"], body)
    for name, table in (("parts", labels.p25), ("chart", labels.dp24)):
        np.testing.assert_array_equal(got[name][body], table[fid[body]])
        assert (got[name][~body] == 0).all() and got[name].dtype == np.uint8
    np.testing.assert_array_equal(got["cluster"], people.clusters)
    assert set(got) == {*DERIVED, "sample_id", *(f"valid.{m}" for m in MODALITIES)}  # no left-over fid


def test_annotated_points_lie_on_the_body(people: People) -> None:
    got = people.batch(np.arange(57), ["points", "point_chart", "chart"])
    n, p = np.nonzero(got["point_chart"])
    assert len(n) > 57 * 20
    row, column = got["points"][n, p].T
    np.testing.assert_array_equal(got["chart"][n, row, column], got["point_chart"][n, p])


def test_ids_groups_and_people(people: People, spec_of: Make, tmp_path: Path) -> None:
    assert people.ids[:7] == [
        *(f"lab/train/00000-{f}-{c}" for f in range(2) for c in range(3)), "lab/train/00001-0-0",
    ]  # fmt: skip
    assert people.ids[31] == "wild/train/00000-0-0" and len(set(people.ids)) == 57
    assert people.manifest_sha256 == manifest.sha256(people.ids)
    clips = [name.rpartition("-")[0].rpartition("-")[0] for name in people.ids]
    for i in range(57):
        for j in range(57):
            assert (people.groups[i] == people.groups[j]) == (clips[i] == clips[j])
    split = np.array([name.rpartition("/")[0] for name in people.ids])
    for person in np.unique(people.clusters):
        assert len(set(split[people.clusters == person])) == 1
    fewer = People(spec_of(("lab", "train", 7)), tmp_path, source=TOY)
    assert fewer.ids == people.ids[:7] and fewer.manifest_sha256 != people.manifest_sha256
    np.testing.assert_array_equal(fewer.batch([6], ["rgb"])["rgb"], people.batch([6], ["rgb"])["rgb"])


def test_wrong_requests_are_refused(people: People) -> None:
    with pytest.raises(ConfigError, match=r'no field "part"\. Did you mean "parts"'):
        people.batch([0], ["part"])
    for wrong in ([-1], [57]):
        with pytest.raises(IndexError):
            people.batch(wrong, ["rgb"])


def test_missing_and_damaged_shards_are_named_when_opening(
    people: People, spec_of: Make, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"lab/val: no shard holds the samples 0 to 11"):
        People(spec_of(("lab", "val", 7)), tmp_path, source=TOY)
    path = next(p for p in tmp_path.rglob("depth.npy") if "lab/train/shard-0000012" in str(p))
    os.truncate(path, 1000)
    with pytest.raises(
        DataError, match=r"lab/train/shard-0000012-0012: depth.npy has 1000 bytes.*data build"
    ):
        People(spec_of(*PARTS), tmp_path, source=TOY)
    assert len(People(spec_of(("lab", "train", 12)), tmp_path, source=TOY)) == 12  # does not need that shard
    with pytest.raises(DataError, match="version"):
        People(spec_of(*PARTS, version=2), tmp_path, source=TOY)


@pytest.mark.parametrize("opened_before", [False, True])
@pytest.mark.parametrize("name", ["rgb", "fid", "points", "kp"])
def test_changed_bytes_are_found_before_they_are_read(
    spec_of: Make, tmp_path: Path, name: str, opened_before: bool
) -> None:
    spec = spec_of(("lab", "val", 6))
    build([spec], tmp_path, TOY)
    if opened_before:
        People(spec, tmp_path, source=TOY)
    (path,) = tmp_path.rglob(f"{name}.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=rf"{path.parent}: {name}.npy has changed .*`bench data build people`"
    ):
        People(spec, tmp_path, source=TOY)
    build([spec], tmp_path, TOY)
    assert len(People(spec, tmp_path, source=TOY)) == 6


@pytest.mark.parametrize("read_only", [False, True])
def test_bytes_are_compared_once(
    spec_of: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_only: bool
) -> None:
    spec = spec_of(("lab", "val", 6))
    build([spec], tmp_path, TOY)
    compared = []
    own = shards.damage

    def count(folder: Path, span: shards.Span) -> str | None:
        compared.append(span)
        return own(folder, span)

    def refuse(*_: object, **__: object) -> None:
        raise DataError("read-only")

    monkeypatch.setattr(shards, "damage", count)
    if read_only:
        monkeypatch.setattr(shards, "write_atomic", refuse)
    for _ in range(2):
        People(spec, tmp_path, source=TOY)
    assert len(compared) == 1
    monkeypatch.setattr(shards, "_compared", {})  # another process
    People(spec, tmp_path, source=TOY)
    assert len(compared) == (2 if read_only else 1)
