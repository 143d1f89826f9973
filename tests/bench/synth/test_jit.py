from __future__ import annotations

import subprocess
import sys

import numpy as np

from bench.synth import jit
from bench.synth.clips import render_clip

WITHOUT_NUMBA = """
import importlib.util, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "numba" else find_spec(name, *rest)
sys.modules["numba"] = None  # any import of it now fails
import numpy as np
from bench.synth.clips import render_clip, shading
assert shading() == "lite"
clip = render_clip("d_parse", "val", 3, size=32, seed=5)
np.savez(sys.argv[1], **clip)
"""


def test_everything_works_without_numba_and_labels_agree(tmp_path):
    subprocess.run([sys.executable, "-c", WITHOUT_NUMBA, str(tmp_path / "lite.npz")], check=True)
    full = render_clip("d_parse", "val", 3, size=32, seed=5)
    with np.load(tmp_path / "lite.npz") as lite:
        assert (lite["fid"] == full["fid"]).mean() > 0.999
        assert np.abs(lite["uv"].astype(int) - full["uv"]).max() <= 1
        assert np.array_equal(lite["pose"], full["pose"])
        assert np.allclose(lite["kp"], full["kp"], atol=0.02)


def test_the_switch_is_restored_after_an_error():
    try:
        with jit.lite_shading():
            assert jit.shading() == "lite"
            raise KeyError
    except KeyError:
        pass
    assert jit.shading() == "full"


def test_kernels_are_cached_where_the_user_says(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "first"))
    folder = jit._cache_folder()
    assert folder.is_dir() and folder.parent == tmp_path / "first"
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "second"))
    other = jit._cache_folder()
    assert other.is_dir() and other.parent == tmp_path / "second"
    assert other.name == folder.name  # a digest of the kernels
