"""Calling sbatch through submitit, so that nothing comes between its answer and whoever notes it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from submitit.core.utils import DelayedSubmission
from submitit.slurm.slurm import SlurmExecutor, SlurmJob

UNUSABLE = "%\\"  # in a path `%j` is filled with a number, by SLURM and by submitit; a backslash forbids it


def unusable(path: Path) -> str:
    """Return the characters of a path that SLURM or submitit would take for something else."""
    return "".join(sorted({c for c in str(path) if c in UNUSABLE or c < " "}))


class Sbatch(SlurmExecutor):
    """An executor of one array that tells the numbers of its jobs as soon as SLURM has accepted them.

    submitit alone returns them after it has moved files, at which it may fail.

    Args:
        folder: for what jobs read, and their logs.
        max_num_timeout: how often a job may start.
        accepted: gets the numbers, `12` or `12_0`, `12_1`, ...
    """

    def __init__(self, folder: Path, max_num_timeout: int, accepted: Callable[[list[str]], None]) -> None:
        super().__init__(folder, max_num_timeout=max_num_timeout)
        self._accepted = accepted
        self._count = 0

    def _get_job_id_from_submission_command(self, string: bytes | str) -> str:  # type: ignore[override]
        number = SlurmExecutor._get_job_id_from_submission_command(string)
        self._accepted(self._numbers(number))
        return number

    def _numbers(self, number: str) -> list[str]:
        return [number] if self._count == 1 else [f"{number}_{i}" for i in range(self._count)]

    def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[Any]:
        self._count = len(delayed_submissions)
        if self._count > 1:
            self.parameters["map_count"] = self._count
        pickles = []
        for delayed in delayed_submissions:
            delayed.set_timeout(self.parameters["time"], self.max_num_timeout)
            pickles.append(Path(self.folder) / f"{uuid.uuid4().hex}.pkl")
            delayed.dump(pickles[-1])
        first = self._submit_command(self._submitit_command_str)
        tasks = list(range(first.num_tasks))
        jobs = [SlurmJob[Any](self.folder, number, tasks) for number in self._numbers(first.job_id)]
        for job, pickle in zip(jobs, pickles, strict=True):
            job.paths.move_temporary_file(pickle, "submitted_pickle")
        return jobs
