import os
import subprocess
import sys

from bench.bodymodels import jit

SOURCE = '''
from bench.bodymodels.jit import kernel

@kernel
def total(values):
    """Sum."""
    result = 0.0
    for value in values:
        result += value
    return result
'''
USE = "import numpy, {module}; print({module}.total(numpy.array([0.1, 0.2, 0.3])))"


def test_kernels_are_strict_about_floating_point_and_release_the_lock():
    @jit.kernel
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
