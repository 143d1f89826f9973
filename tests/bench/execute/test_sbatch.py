"""Submitting, with programs in the place of SLURM's that note how they were called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.errors import ConfigError, DataError
from bench.execute import plans
from bench.execute import submissions as launches
from bench.execute.cluster import Cluster
from bench.execute.sbatch import Sbatch, unusable
from bench.execute.slurm import run_on_cluster, submit
from bench.grid.plan import Plan, expand
from bench.grid.request import Request, Words, resolve
from bench.records.store import Store


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line per call of SLURM's programs; sbatch accepts everything as job 42, 43, ..."""
    folder, log = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    log.touch()
    for name in ("sbatch", "srun", "squeue", "scancel", "sacct"):
        answer = f"echo Submitted batch job $((41 + $(grep -c ^sbatch {log})))" if name == "sbatch" else ":"
        (folder / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {log}\n{answer}\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return log


@pytest.fixture(autouse=True)
def nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapters of this grid are names alone."""
    monkeypatch.setattr("bench.execute.ready.check_adapters", lambda steps, config_dirs: [])


@pytest.fixture
def request_and_plan(configs: Path) -> tuple[Request, Plan]:
    request = resolve(Words(methods="cmc", tasks="densepose,parsing_rgb"))
    return request, expand(request)


def jobs(store: Store) -> list[str]:
    return [job.number for job in launches.pending(store)]


def test_jobs_are_noted_and_find_their_work(
    calls: Path, request_and_plan: tuple[Request, Plan], tmp_path: Path
) -> None:
    request, plan = request_and_plan
    store = Store(tmp_path / "store")
    launch = submit(plans.keep(request, store), plan, store, Cluster(), {})
    assert (len(launch.keys), launch.arrays) == (4, 3)  # two stages, then both cells in one array
    assert jobs(store) == ["42", "43", "44_0", "44_1"]
    (folder,) = {job.folder for job in launches.pending(store)}
    assert all((folder / f"{number}_submitted.pkl").is_file() for number in jobs(store))
    script = next(folder.glob("44_submission.sh")).read_text()
    assert "--array=0-1%2" in script and "--dependency=afterok:43" in script


def test_what_fails_after_sbatch_has_accepted_leaves_the_job_noted(
    calls: Path, request_and_plan: tuple[Request, Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, plan = request_and_plan
    store = Store(tmp_path / "store")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("submitit.core.utils.JobPaths.move_temporary_file", fail)
    with pytest.raises(DataError, match="the disk is full"):
        submit(plans.keep(request, store), plan, store, Cluster(), {})
    assert jobs(store) == ["42"] and len(calls.read_text().splitlines()) == 1


def test_a_job_that_cannot_be_noted_is_cancelled(
    calls: Path, request_and_plan: tuple[Request, Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, plan = request_and_plan
    store = Store(tmp_path / "store")

    def fail(*_: object) -> None:
        raise DataError("cannot write: the disk is full")

    monkeypatch.setattr(launches, "note", fail)
    with pytest.raises(DataError, match="disk is full"):
        submit(plans.keep(request, store), plan, store, Cluster(), {})
    assert calls.read_text().splitlines()[-1] == "scancel 42" and not jobs(store)


@pytest.mark.parametrize("name", ["50%", "a%jb", "%", "a\\b", "a\nb", "a\tb"])
def test_stores_with_characters_that_slurm_interprets_are_refused_before_anything(
    name: str, calls: Path, request_and_plan: tuple[Request, Plan], tmp_path: Path
) -> None:
    request, plan = request_and_plan
    for place in (tmp_path / name, tmp_path / name / "store"):
        with pytest.raises(ConfigError, match=r"(?s)--store .* choose another folder"):
            run_on_cluster(request, plan, Store(place), "", failed=False, wait=False, as_json=False)
    assert not calls.read_text() and not (tmp_path / name).exists()


def test_other_characters_are_fine(tmp_path: Path) -> None:
    """`tests/slurm` has them in the path of a store."""
    assert not unusable(tmp_path / 'it\'s "the" $HOME; of #1 ä')


def test_an_array_of_one_has_no_index(calls: Path, tmp_path: Path) -> None:
    told: list[list[str]] = []
    for count in (1, 3):
        executor = Sbatch(tmp_path, 3, told.append)
        executor.update_parameters(time=5)
        found = executor.map_array(json.dumps, range(count))
        assert [job.job_id for job in found] == told[-1]
    assert told == [["42"], ["43_0", "43_1", "43_2"]]
