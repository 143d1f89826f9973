from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import caches
from bench.errors import DataError

ROOT = Path(__file__).resolve().parents[2]

HOMELESS = """
import os, pwd, sys
os.environ.pop("HOME", None)
def nobody(uid):
    raise KeyError(uid)
pwd.getpwuid = nobody
"""
PREPARED = "from pathlib import Path; from bench.records.store import Store; Store(Path('store')).prepare()"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BENCH_CACHE", "XDG_CACHE_HOME", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, "")  # so that what settle() sets is taken back
        monkeypatch.delenv(name)


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_the_users_cache_is_used_where_it_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    caches.settle(tmp_path / "store")
    assert caches.folder() == tmp_path / ".cache" / "bodybench"
    assert not {"BENCH_CACHE", "MPLCONFIGDIR"} & os.environ.keys()
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "named"))
    assert caches.folder() == tmp_path / "named"


@pytest.mark.parametrize("home", ["none", "a file", "absent and not to be made"])
def test_without_a_home_the_store_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    (tmp_path / "file").write_text("")
    where = {"a file": tmp_path / "file", "absent and not to be made": tmp_path / "file" / "home"}
    monkeypatch.setattr(Path, "home", no_home if home == "none" else lambda: where[home])
    assert str(os.getuid()) in caches.folder().name  # nothing is settled: the temporary folder
    caches.settle(tmp_path / "store")
    assert caches.folder() == tmp_path / "store" / "cache"
    assert os.environ["MPLCONFIGDIR"] == str(tmp_path / "store" / "cache" / "matplotlib")


def test_a_named_folder_that_cannot_be_written_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=rf"cannot write {tmp_path}/file.*BENCH_CACHE=DIR"):
        caches.folder()


@pytest.mark.parametrize(
    "work",
    [
        "import bench.synth.raster_numba, bench.synth.shade_numba, bench.bodymodels.skinning_numba",
        "import matplotlib; print(matplotlib.get_cachedir())",
        "from bench.execute.cluster import load_cluster; load_cluster('')",
        "from bench.doctor import examine; from pathlib import Path; text, _ = examine(Path('store')); "
        "assert 'BAD  cache' not in text and 'store/cache' in text, text",
    ],
)
def test_everything_works_for_a_user_without_a_home(work: str, tmp_path: Path) -> None:
    code = f"{HOMELESS}\n{PREPARED}\n{work}"
    environment = {
        k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME", "BENCH_CACHE", "HF_HOME")
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env={**environment, "PYTHONPATH": str(ROOT)}, cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["store"]  # no folder named ~
