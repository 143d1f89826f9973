from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import DataError
from bench.files import canonical, check_writable, quarantine, sha256_file, sha256_text, write_atomic, writing

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize("content", [b"\x00\xff", "Ü", lambda file: file.write(b"late")])
def test_written_content_and_permissions(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.bin"
    write_atomic(path, content)
    assert path.read_bytes() in (b"\x00\xff", "Ü".encode(), b"late")
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)  # as the umask says
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_atomic(path, "old")

    def fail(file: BinaryIO) -> None:
        file.write(b"half")
        raise RuntimeError("while writing")

    with pytest.raises(RuntimeError, match="while writing"):
        write_atomic(path, fail)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only; choose another place"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_system_errors_become_one_line(
    number: int, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(DataError, match=advice) as caught:
        write_atomic(tmp_path / "x", "text")
    assert "\n" not in str(caught.value) and str(tmp_path / "x") in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_and_a_folder_without_permission(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in ("file/x", "file/deep/x"):
        with pytest.raises(DataError, match="a file is in the way"):
            write_atomic(tmp_path / place, "")
    with pytest.raises(DataError, match=r"cannot write .*no permission"), writing(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "Permission denied")
    if os.geteuid():
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(DataError, match="no permission"):
            write_atomic(tmp_path / "closed" / "x", "")


def test_outputs_are_tested_without_a_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for fine in ("file", "new", "deep/er/new"):
        check_writable(tmp_path / fine, "FILE")
    check_writable(tmp_path / "folder", "--out", folder=True)
    check_writable(tmp_path / "deep" / "new", "--out", folder=True)
    for place, folder, why in (
        ("folder", False, "a folder is in the way"), ("file/x", False, "a file is in the way"),
        ("file", True, "a file is in the way"), ("x" * 300 + "/y", False, "too long"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=f"--here: cannot write .*{why}"):
            check_writable(tmp_path / place, "--here", folder=folder)

    def refuse(handle: int) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(DataError, match=r"^--out: cannot write .*read-only; choose another place$"):
        check_writable(tmp_path / "deep", "--out", folder=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@given(PLAIN)
def test_canonical_text_is_json_and_a_fixed_point(value: Any) -> None:
    text = canonical(value)
    assert json.loads(text) == value and canonical(json.loads(text)) == text


def test_canonical_text_ignores_order_and_tells_numbers_apart() -> None:
    assert canonical({"b": 1, "a": {"d": [1, 2], "c": "é"}}) == '{"a":{"c":"é","d":[1,2]},"b":1}'
    assert len({canonical(v) for v in (1, 1.0, True, "1", [1])}) == 5
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            canonical({"x": bad})


def test_checksums(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes("bench ü".encode())
    wanted = hashlib.sha256("bench ü".encode()).hexdigest()
    assert sha256_text("bench ü") == sha256_file(tmp_path / "x") == wanted


def test_quarantine_never_overwrites(tmp_path: Path) -> None:
    for n in range(3):
        (tmp_path / "r.json").write_text(str(n))
        assert quarantine(tmp_path / "r.json") == tmp_path / f"r.json.corrupt-{n}"
    assert [(tmp_path / f"r.json.corrupt-{n}").read_text() for n in range(3)] == ["0", "1", "2"]
    with pytest.raises(FileNotFoundError):
        quarantine(tmp_path / "r.json")
