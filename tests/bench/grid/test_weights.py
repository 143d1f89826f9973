from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from bench.errors import AssetError
from bench.grid.plan import expand
from bench.grid.request import Words, resolve
from bench.grid.weights import located, names_file, placed


def write(path: Path, value: float) -> None:
    """Write a file of weights that planning takes for those of some network."""
    save_file({"conv1.weight": np.full((1,), value, np.float32)}, path)


def key_of(path: Path | str) -> str:
    words = Words(
        methods="imagenet",
        tasks="densepose",
        encoders="resnet10_w24",
        overrides=(f"method.imagenet.stages.weights.config.file={path}",),
    )
    (cell,) = expand(resolve(words)).cells
    assert cell.step is not None
    return cell.step.key


def test_keys_follow_the_content_of_a_weights_file_not_its_place(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors", 1)
    (tmp_path / "deep").mkdir()
    write(tmp_path / "deep" / "b.safetensors", 1)
    first = key_of(tmp_path / "a.safetensors")
    assert first == key_of(tmp_path / "a.safetensors") == key_of(tmp_path / "deep" / "b.safetensors")
    write(tmp_path / "a.safetensors", 2)
    assert key_of(tmp_path / "a.safetensors") != first


def test_the_home_of_the_user_and_odd_names_are_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    odd = tmp_path / "epoch=9 (best).safetensors"
    write(odd, 1)
    assert key_of("~/epoch=9 (best).safetensors") == key_of(odd)


def test_a_missing_weights_file_is_named_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=r"no weights file .*absent\.pth"):
        key_of(tmp_path / "absent.pth")


def test_a_stage_gets_the_path_back_unless_the_file_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(b"one")
    set_file = "method.cmc.stages.contrast.config.file"
    request = resolve(Words(methods="cmc", tasks="densepose", overrides=(f"{set_file}={path}",)))
    step = next(s for s in expand(request).steps if s.kind == "pretrain")
    assert step.spec["config"]["file"].startswith("sha256:") and str(path) not in str(step.spec)
    assert request.changes[set_file] == step.spec["config"]["file"]
    assert located(step.spec["config"], step.resources) == {**step.spec["config"], "file": str(path)}
    assert placed(step.spec["config"], step.resources)["file"] == str(path)
    path.write_bytes(b"two")
    with pytest.raises(AssetError, match=r"weights file .* has changed since"):
        located(step.spec["config"], step.resources)


def test_other_files_than_weights_are_named_by_their_key() -> None:
    assert names_file("file") and names_file("prior_file") and not names_file("profile")
    config, resources = {"prior_file": "sha256:1", "file": ""}, {"files": {"sha256:1": "a"}}
    assert placed(config, resources) == {"prior_file": "a", "file": ""}
    with pytest.raises(AssetError, match="there is no prior file a; correct the config key `prior_file`"):
        located(config, resources)
