import argparse
import io
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.encoders.state_dicts import read_content
from bench.errors import AssetError
from bench.weights.header import LARGEST_HEADER, Entry, describe, read_header, state_dicts

STATE = {
    "a.weight": torch.ones(2, 3),
    "a.half": torch.ones(4, dtype=torch.bfloat16),
    "n": torch.tensor(3),
    "p": torch.nn.Parameter(torch.ones(5)),
}
SHAPES = {
    "a.weight": Entry(shape=(2, 3), dtype="float32"),
    "a.half": Entry(shape=(4,), dtype="bfloat16"),
    "n": Entry(shape=(), dtype="int64"),
    "p": Entry(shape=(5,), dtype="float32"),
}


@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy"])
def test_names_shapes_and_types_are_read_without_numbers(form, tmp_path):
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth.tar")
    if form == "safetensors":
        safetensors.torch.save_file({k: v.detach() for k, v in STATE.items()}, path)
    else:
        torch.save(OrderedDict(STATE), path, _use_new_zipfile_serialization=form == "zip")
    assert dict(read_header(path)) == SHAPES


def test_views_of_one_storage_have_shapes_of_their_own(tmp_path):
    whole = torch.arange(12.0).view(3, 4)
    torch.save({"row": whole[1], "column": whole[:, 2], "whole": whole}, tmp_path / "w.pth")
    found = read_header(tmp_path / "w.pth")
    assert {k: v.shape for k, v in found.items()} == {"row": (4,), "column": (3,), "whole": (3, 4)}


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "uint16", "meta"])
def test_tensors_that_no_network_takes_are_told_as_such_not_as_code(kind, tmp_path):
    odd = torch.ones(3, device="meta") if kind == "meta" else torch.ones(3).to(getattr(torch, kind))
    torch.save({"a": odd}, tmp_path / "w.pth")
    dtype = "without numbers" if kind == "meta" else kind
    assert read_header(tmp_path / "w.pth") == {"a": Entry(shape=(3,), dtype=dtype)}


def test_what_lies_beside_the_weights_stays(tmp_path):
    content = {
        "model": STATE,
        "epoch": 3,
        "args": argparse.Namespace(lr=1),
        "optimizer": {"state": {0: STATE}},
    }
    torch.save(content, tmp_path / "w.pth")
    found = read_header(tmp_path / "w.pth")
    assert (found["model"], found["epoch"]) == (SHAPES, 3)


class Bomb:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize("form", ["zip", "legacy", "bare"])
def test_code_in_a_file_is_not_run(form, tmp_path):
    path = tmp_path / "w.pth"
    content = {"model": {"a": torch.ones(1)}, "args": Bomb(tmp_path / "ran")}
    if form == "bare":
        path.write_bytes(pickle.dumps(content["args"]))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(AssetError, match=r"w\.pth holds pickled Python objects \(posix\.mkdir\)"):
        read_header(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name", ["builtins.eval", "os.system", "torch.load", "builtins.getattr", "torch.hub.load"]
)
def test_functions_are_refused_before_they_are_called(name, tmp_path):
    module, _, word = name.rpartition(".")
    (tmp_path / "w.pth").write_bytes(f"c{module}\n{word}\n(S'1'\ntR.".encode())
    with pytest.raises(AssetError, match=name.replace(".", r"\.")):
        read_header(tmp_path / "w.pth")


def test_programs_are_told_from_weights(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:  # as torch.jit.save lays its files out
        archive.writestr("w/data.pkl", pickle.dumps({}))
        archive.writestr("w/constants.pkl", pickle.dumps(()))
    with pytest.raises(AssetError, match="TorchScript"):
        read_header(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w.pth", "pytorch_model.bin", "w.safetensors"])
@pytest.mark.parametrize("safe", [True, False])
def test_the_content_decides_what_a_file_is_not_its_name(name, safe, tmp_path):
    state = {k: v.detach() for k, v in STATE.items()}
    if safe:
        safetensors.torch.save_file(state, tmp_path / name)
    else:
        torch.save(state, tmp_path / name)
    assert dict(read_header(tmp_path / name)) == SHAPES
    read = read_content(tmp_path / name)
    assert all(torch.equal(read[key], value) for key, value in state.items())


def header_of(tmp_path, name, shape, offsets, numbers):
    body = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}).encode()
    (tmp_path / name).write_bytes(struct.pack("<Q", len(body)) + body + bytes(numbers))
    return tmp_path / name


def test_a_file_without_all_of_its_numbers_is_refused(tmp_path):
    assert read_header(header_of(tmp_path, "w.safetensors", [2], [0, 8], 8))["a"].shape == (2,)
    for numbers in (7, 9):
        with pytest.raises(AssetError, match="cut off, or longer"):
            read_header(header_of(tmp_path, "w.safetensors", [2], [0, 8], numbers))


@pytest.mark.parametrize("shape", [[-1, 3], [2**62, 2**62]])
def test_impossible_shapes_are_refused(shape, tmp_path):
    with pytest.raises(AssetError, match="impossible shape"):
        read_header(header_of(tmp_path, "w.safetensors", shape, [0, 8], 8))
    words = b"".join(b"\x8a\x09" + size.to_bytes(9, "little", signed=True) for size in shape)
    tensor = (
        b"ctorch._utils\n_rebuild_tensor_v2\n((S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nK\x02tQK\x00"
    )
    pickled = b"\x80\x02}S'a'\n" + tensor + b"(" + words + b"t(K\x01K\x01ttRs."
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("w/data.pkl", pickled)
    with pytest.raises(AssetError, match="impossible shape"):
        read_header(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model-00002-of-00003.safetensors", "a part of weights in several files"),
        ("pytorch_model.bin.index.json", "a part of weights in several files"),
        ("", "is a folder; name the file"),
        ("absent.pth", "there is no weights file"),
        ("model-00001-of-00001.safetensors", "cut off"),
    ],
)
def test_what_is_no_whole_file_is_named(name, message, tmp_path):
    if name and name != "absent.pth":
        (tmp_path / name).write_bytes(bytes(3) if name.endswith("json") else bytes([200]) + bytes(7))
    for read in (read_header, read_content):
        with pytest.raises(AssetError, match=message if read is read_header else str(tmp_path)):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "pointer of Git LFS"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\x1f\x8b\x08" + bytes(50), "packed by gzip"),
        (b"\x93NUMPY" + bytes(50), "an array of numpy"),
        (b"PK\x03\x04" + bytes(50), "cut off"),
        (b"w.pth" + bytes(252) + b"ustar" + bytes(255), "packed by tar"),
    ],
)
def test_downloads_that_went_wrong_are_told(content, message, tmp_path):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(AssetError, match=message) as caught:
        read_header(tmp_path / "w.pth")
    assert "\n" not in str(caught.value)


def test_state_dicts_within_dicts_are_told_but_not_those_of_optimisers():
    deep = {"ckpt": {"net": {"state_dict": SHAPES}, "optimizer": {"state": {0: SHAPES}}}}
    assert [name for name, _ in state_dicts(deep)] == ["ckpt.net.state_dict"]
    looped: dict[str, object] = {}
    looped["a"] = looped
    assert state_dicts(looped) == []


def test_a_header_that_unpacks_without_end_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", b"\x80\x02" + bytes(LARGEST_HEADER))
    assert (tmp_path / "w.pth").stat().st_size < 200_000
    with pytest.raises(AssetError, match="impossibly large"):
        read_header(tmp_path / "w.pth")


def test_other_archives_and_empty_files_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("a.npy", "")
    with pytest.raises(AssetError, match=r"an archive that torch\.save has not written"):
        read_header(tmp_path / "w.npz")
    assert [describe(content) for content in ({}, SHAPES["n"], [])] == [
        "nothing",
        "a single tensor",
        "an object of type list",
    ]


def forms() -> list[tuple[str, bytes]]:
    found = [(".safetensors", safetensors.torch.save({k: v.detach() for k, v in STATE.items()}))]
    for new in (True, False):
        stream = io.BytesIO()
        torch.save(STATE, stream, _use_new_zipfile_serialization=new)
        found.append((".pth", stream.getvalue()))
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_one_line_or_harmless(data, tmp_path):
    suffix, whole = data.draw(st.sampled_from(forms()))
    content = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for place in data.draw(st.lists(st.integers(0, min(max(len(content), 1), 800) - 1), max_size=6)):
        if place < len(content):
            content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    try:
        read_header(path)
    except AssetError as error:
        assert str(path) in str(error) and "\n" not in str(error)
