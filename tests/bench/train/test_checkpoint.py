from pathlib import Path

import pytest
import torch

from bench.errors import DataError
from bench.train.checkpoint import load_checkpoint, reject_checkpoints, save_checkpoint

STATE = {
    "module": {"w": torch.arange(12.0).reshape(3, 4)},
    "meter": {"curve": [{"step": 1.0}], "waited": 0.5},
}


def test_round_trip_keeps_only_the_newest(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None
    save_checkpoint(tmp_path, 9, {"module": {}})
    path = save_checkpoint(tmp_path, 10, STATE)
    (tmp_path / ".checkpoint-of-a-killed-process").write_bytes(b"half")
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None and loaded[0] == 10
    assert torch.equal(loaded[1]["module"]["w"], STATE["module"]["w"])  # type: ignore[index]
    assert loaded[1]["meter"] == STATE["meter"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "rename"])
def test_damage_is_named_and_an_older_checkpoint_is_used(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save_checkpoint(tmp_path, 20, STATE)
    body = bytearray(path.read_bytes())
    if damage == "truncate":
        path.write_bytes(body[: len(body) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "flip":
        body[len(body) // 2] ^= 1
        path.write_bytes(body)
    else:
        path = path.rename(tmp_path / "checkpoint-final.pt")
    assert load_checkpoint(tmp_path) is None
    message = capsys.readouterr().err
    assert path.name in message and "is damaged" in message and message.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == [f"{path.name}.corrupt-0"]

    older = tmp_path / "older"
    good = save_checkpoint(older, 5, STATE)
    (older / f"checkpoint-000000009-{'0' * 16}.pt").write_bytes(b"damaged")
    loaded = load_checkpoint(older)
    assert loaded is not None and loaded[0] == 5 and good.is_file()


def test_rejected_checkpoints_are_kept_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_checkpoint(tmp_path, 20, STATE)
    reject_checkpoints(tmp_path)
    assert load_checkpoint(tmp_path) is None and "other code" in capsys.readouterr().err
    assert len(list(tmp_path.glob("*.corrupt-0"))) == 1


def test_full_disk_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    save_checkpoint(tmp_path, 1, STATE)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match=r"cannot write .*checkpoint-000000002.*disk is full"):
        save_checkpoint(tmp_path, 2, STATE)
    loaded = load_checkpoint(tmp_path)  # the old one is still there, and nothing half written
    assert loaded is not None and loaded[0] == 1 and len(list(tmp_path.iterdir())) == 1
