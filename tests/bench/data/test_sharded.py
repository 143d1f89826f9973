from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_producer import SIZE, Toy, ToyProducer, toy_spec, typed_spec

from bench.data import build as building
from bench.data import manifest, shards
from bench.dataset import DataSpec
from bench.errors import ConfigError, DataError

TOY = ToyProducer()
PARTS = (("lab", "train", 31), ("wild", "train", 20), ("lab", "val", 6))
SPEC = typed_spec(*PARTS)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    monkeypatch.setattr(building, "SHARD", 12)
    assert Toy.prepare([SPEC], tmp_path) == 36 + 20 + 6
    return Toy(SPEC, tmp_path)


def made(name: str) -> np.ndarray[Any, Any]:
    """A stored array straight from the producer; zeros where a source has none."""
    rows = []
    for source, split, samples in PARTS:
        clips = [TOY.produce(source, split, c, SIZE) for c in range(TOY.clips(source, split, samples))]
        shape = TOY.fields("lab", SIZE)[name].shape
        nothing = np.zeros((len(clips[0]["rgb"]), *shape))
        rows.append(np.concatenate([clip.get(name, nothing) for clip in clips])[:samples])
    return np.concatenate(rows)


def test_rows_are_what_was_made(toy: Toy) -> None:
    assert len(toy) == toy.info.n_samples == 57 and toy.info.size == SIZE and toy.info.joint_set == "coco17"
    picks = np.random.default_rng(0).permutation(57)[:40]
    names = ["rgb", "depth", "keypoints", "ids"]
    got = toy.batch(picks, names)
    for name in names:
        np.testing.assert_array_equal(got[name], made(name)[picks])
        assert got[name].dtype == toy.fields[name].dtype
    np.testing.assert_array_equal(got["sample_id"], picks)
    assert toy.batch([], ["rgb", "mask"])["rgb"].shape == (0, *SIZE, 3)
    np.testing.assert_array_equal(toy.batch([3, 3], ["keypoints"])["keypoints"], made("keypoints")[[3, 3]])


def test_sources_may_lack_fields(toy: Toy) -> None:
    lab = np.r_[np.ones(31, bool), np.zeros(20, bool), np.ones(6, bool)]
    assert set(toy.valid) == {"rgb", "depth", "kp2d", "keypoints_detected"} and toy.valid["rgb"].all()
    for name in ("depth", "kp2d", "keypoints_detected"):
        np.testing.assert_array_equal(toy.valid[name], lab)
    got = toy.batch([0, 40, 56], ["depth"])
    assert got["valid.depth"].tolist() == [True, False, True] and not got["depth"][1].any()
    assert toy.batch([40], ["depth"])["depth"].shape == (1, *SIZE)  # from a part that has none


def test_derived_fields_are_made_of_hidden_arrays(toy: Toy) -> None:
    got = toy.batch(np.arange(57), ["mask", "parts"])
    np.testing.assert_array_equal(got["mask"], made("faces") >= 0)
    assert set(got) == {"mask", "parts", "sample_id", *(f"valid.{name}" for name in toy.valid)}
    assert "faces" not in toy.fields
    with pytest.raises(ConfigError, match='no field "faces"'):
        toy.batch([0], ["faces"])


@pytest.mark.parametrize("modality", ["rgb", "depth"])
def test_hidden_fields_count_as_absent(toy: Toy, tmp_path: Path, modality: str) -> None:
    parts = (("lab", "train", 5, ["parts", modality]), ("lab", "val", 4))
    data = Toy(typed_spec(*parts), tmp_path)
    got = data.batch(np.arange(9), ["parts", "mask", modality])
    for name in ("parts", modality):
        assert data.valid[name].tolist() == got[f"valid.{name}"].tolist() == [False] * 5 + [True] * 4
    assert (got["parts"][:5] == 255).all() and got["parts"][5:].max() < 25
    assert not got[modality][:5].any() and got[modality][5:].any()
    assert "mask" not in data.valid and got["mask"][:5].any()  # stays, though it is made of the same
    assert data.ids[:5] == toy.ids[:5]


def test_hiding_the_joints_hides_the_modality_and_the_other_way(tmp_path: Path) -> None:
    for name in ("kp2d", "keypoints_detected"):
        spec = typed_spec(("lab", "val", 2), ("lab", "test", 2, [name]))
        Toy.prepare([spec], tmp_path)
        data = Toy(spec, tmp_path)
        for key in ("kp2d", "keypoints_detected"):
            assert data.valid[key].tolist() == [True, True, False, False]
        assert not data.batch([3], ["keypoints_detected"])["keypoints_detected"].any()


def test_ids_clusters_and_collections(toy: Toy, tmp_path: Path) -> None:
    assert toy.ids[:7] == [
        *(f"lab/train/00000-{f}-{v}" for f in range(2) for v in range(3)), "lab/train/00001-0-0",
    ]  # fmt: skip
    assert toy.ids[31] == "wild/train/00000-0-0" and len(set(toy.ids)) == 57
    assert toy.ids == Toy.list_ids(SPEC, Path("nowhere"))
    assert toy.manifest_sha256 == manifest.sha256(toy.ids)
    assert toy.sources == {"toy/lab/train", "toy/wild/train", "toy/lab/val"}
    split = np.array([name.rpartition("/")[0] for name in toy.ids])
    for cluster in np.unique(toy.clusters):
        assert len(set(split[toy.clusters == cluster])) == 1
    fewer = Toy(typed_spec(("lab", "train", 7)), tmp_path)
    assert fewer.ids == toy.ids[:7] and fewer.manifest_sha256 != toy.manifest_sha256
    np.testing.assert_array_equal(fewer.batch([6], ["rgb"])["rgb"], toy.batch([6], ["rgb"])["rgb"])


def test_a_folder_that_has_grown_gives_the_same_rows(toy: Toy, tmp_path: Path) -> None:
    Toy.prepare([typed_spec(*((source, split, n + 13) for source, split, n in PARTS))], tmp_path)
    again = Toy(SPEC, tmp_path)
    assert again.ids == toy.ids
    np.testing.assert_array_equal(again.batch(np.arange(57), ["rgb"])["rgb"], made("rgb"))


def test_folders_tell_what_the_samples_depend_on(tmp_path: Path) -> None:
    specs = [typed_spec(("wild", "val", 3), seed=seed) for seed in (0, 5)]
    assert [piece.name for piece in Toy.missing(specs, tmp_path)] == [
        f"toy-v1-seed{seed}-16x20px/wild/val/shard-0000000-0003" for seed in (0, 5)
    ]
    assert Toy.prepare(specs, tmp_path) == 6 and not Toy.missing(specs, tmp_path)
    a, b = (Toy(spec, tmp_path).batch([0], ["rgb"])["rgb"] for spec in specs)
    assert (a != b).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": {"seeds": 1}}, "seeds"),
        ({"version": 2}, "version 2 of the producer, installed is 1"),
        ({"size": [8, 16]}, r"\[8, 16\] is outside 16..1024"),
        ({"parts": []}, "parts is empty"),
        ({"parts": [("wildd", "train", 5)]}, r'unknown source "wildd".*Did you mean "wild"'),
        ({"parts": [("wild", "tests", 5)]}, r'no split "tests".*Did you mean "test"'),
        ({"parts": [("lab", "train", 0)]}, "0 samples"),
        ({"parts": [("lab", "train", 1), ("lab", "train", 2)]}, "twice"),
        ({"parts": [("lab", "train", 1, ["dpth"])]}, r'there is no "dpth"\. Did you mean "depth"'),
    ],
)
def test_wrong_specs_are_refused_before_work(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    parts = change.get("parts", [("lab", "train", 7)])
    spec = DataSpec.of({**toy_spec(*parts), **{k: v for k, v in change.items() if k != "parts"}})
    for attempt in (lambda: Toy.check(spec), lambda: Toy.prepare([spec], tmp_path)):
        with pytest.raises((ConfigError, DataError), match=message) as caught:
            attempt()
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_wrong_requests_are_refused(toy: Toy) -> None:
    with pytest.raises(ConfigError, match=r'no field "part"\. Did you mean "parts"'):
        toy.batch([0], ["part"])
    for wrong in ([-1], [57]):
        with pytest.raises(IndexError):
            toy.batch(wrong, ["rgb"])
    with pytest.raises(ConfigError, match="Toy has no pairs of kind view"):
        toy.pairs("view")
    with pytest.raises(ConfigError, match="Toy draws no sheets"):
        toy.sheet([0])


@pytest.mark.usefixtures("toy")
def test_missing_and_damaged_shards_are_named_when_opening(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lab/val: no shard holds the samples 0 to 11"):
        Toy(typed_spec(("lab", "val", 7)), tmp_path)
    path = next(p for p in tmp_path.rglob("depth.npy") if "lab/train/shard-0000012" in str(p))
    os.truncate(path, 1000)
    with pytest.raises(
        DataError, match=r"lab/train/shard-0000012-0012: depth.npy has 1000 bytes.*`bench data build toy`"
    ):
        Toy(SPEC, tmp_path)
    assert len(Toy(typed_spec(("lab", "train", 12)), tmp_path)) == 12  # does not need that shard
    assert len(Toy.verify(SPEC, tmp_path)) == 2


@pytest.mark.parametrize("opened_before", [False, True])
@pytest.mark.parametrize("name", ["rgb", "faces", "keypoints"])
def test_changed_bytes_are_found_before_they_are_read(tmp_path: Path, name: str, opened_before: bool) -> None:
    spec = typed_spec(("lab", "val", 6))
    Toy.prepare([spec], tmp_path)
    if opened_before:
        Toy(spec, tmp_path)
    (path,) = tmp_path.rglob(f"{name}.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{path.parent}: {name}.npy has changed .*`bench data build toy`"):
        Toy(spec, tmp_path)
    Toy.prepare([spec], tmp_path)
    assert len(Toy(spec, tmp_path)) == 6


@pytest.mark.parametrize("read_only", [False, True])
def test_bytes_are_compared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_only: bool) -> None:
    spec = typed_spec(("lab", "val", 6))
    Toy.prepare([spec], tmp_path)
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
        Toy(spec, tmp_path)
    assert len(compared) == 1
    monkeypatch.setattr(shards, "_compared", {})  # another process
    Toy(spec, tmp_path)
    assert len(compared) == (2 if read_only else 1)
