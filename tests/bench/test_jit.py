import os
import subprocess
import sys

from bench import jit

SOURCE = '''
from bench.jit import kernel

@kernel()
def total(values):
    """Sum."""
    result = 0.0
    for value in values:
        result += value
    return result
'''
USE = "import numpy, {module}; print({module}.total(numpy.array([0.1, 0.2, 0.3])))"


def test_kernels_are_strict_about_floating_point_and_release_the_lock():
    @jit.kernel()
    def same(value: float) -> bool:
        return value == value  # fast-math would fold this to true

    assert not same(float("nan"))
    assert not same.targetoptions.get("fastmath")
    assert same.targetoptions["nogil"]


def test_cached_code_goes_where_the_user_says(tmp_path):
    (tmp_path / "sums.py").write_text(SOURCE)
    cache = tmp_path / "cache"
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(cache),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
    }
    code = USE.format(module="sums")
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == 0.1 + 0.2 + 0.3
    assert list(cache.rglob("*.nbc"))


def test_kernels_are_cached_where_the_user_says(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "first"))
    folder = jit._cache_folder()
    assert folder.is_dir() and folder.parent == tmp_path / "first"
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "second"))
    other = jit._cache_folder()
    assert other.is_dir() and other.parent == tmp_path / "second"
    assert other.name == folder.name  # a digest of the kernels
