"""The SLURM executor: submits the missing steps of a plan as arrays through submitit, and comes back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import click

from bench.console import warn
from bench.errors import ConfigError
from bench.execute import plans
from bench.execute import submissions as launches
from bench.execute.arrays import Array, arrays
from bench.execute.cluster import Cluster, load_cluster
from bench.execute.job_status import ActiveJob, live_jobs
from bench.execute.queue import Queue, cancel, installed
from bench.files import writing
from bench.grid.plan import Plan
from bench.grid.request import Request
from bench.records.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What a submission did."""

    keys: frozenset[str]  # of the steps that got a job
    arrays: int  # calls of sbatch
    busy: int  # steps that were queued or running already

    @property
    def counts(self) -> dict[str, int]:
        """Return the numbers that scripts may read."""
        return {"submitted": len(self.keys), "arrays": self.arrays, "already_queued": self.busy}

    def text(self, store: Store) -> str:
        """Say what was done and how to go on."""
        busy = f", {self.busy} were queued or running already" if self.busy else ""
        return (
            f"{len(self.keys)} jobs submitted in {self.arrays} arrays{busy}\n"
            f"bench status --store {store.root} tells how they are; bench leaderboard comes after them"
        )


def run_on_cluster(
    request: Request, plan: Plan, store: Store, site: str, *, failed: bool, wait: bool, as_json: bool
) -> int:
    """Submit a plan, or only what failed of it; follow the jobs if asked to; return the exit code.

    Raises:
        ConfigError: the site YAML is wrong, there is no SLURM here, or sbatch refuses a job.
        StepError: the controller does not answer.
    """
    from bench.execute.follow import follow
    from bench.execute.local import Outcome
    from bench.execute.summary import finish

    if not installed():
        raise ConfigError(
            "--executor slurm: this machine has no squeue; log in to the cluster, or run locally"
        )
    from bench.execute.sbatch import unusable

    if signs := unusable(store.root.resolve()):
        raise ConfigError(
            f"--store {store.root}: SLURM cannot use the characters {signs!r} in the path of a job's files; "
            "choose another folder"
        )
    cluster, queue = load_cluster(site), Queue()
    file = plans.keep(request, store)
    with launches.alone(store):
        live = live_jobs(store, queue)
        plan = plans.only_failed(plan, store) if failed else plan
        launch = submit(file, plan, store, cluster, live, request.config_dirs)
    if wait:
        todo = {step.key: step for step in plan.steps if step.key in live.keys() | launch.keys}
        return finish(plan, store, follow(plan, todo, store, queue), as_json=as_json)
    if not launch.keys and not launch.busy:
        return finish(plan, store, Outcome(failed=plans.barred(plan, store)), as_json=as_json)
    click.echo(json.dumps(launch.counts) if as_json else launch.text(store))
    return 0


def submit(
    file: Path,
    plan: Plan,
    store: Store,
    cluster: Cluster,
    live: Mapping[str, ActiveJob],
    config_dirs: Sequence[str] = (),
) -> Launch:
    """Submit what is missing and neither queued nor running.

    Args:
        file: where the request is kept.
        plan: its steps.
        store: results so far.
        cluster: values of the site.
        live: jobs that wait or run, by the key of their step.
        config_dirs: where adapters are found besides.

    Raises:
        ConfigError: an adapter cannot be used (nothing is submitted), or sbatch refuses a job (with its own
            words; what it took before is submitted).
    """
    stages, cells = plans.left(plan, store)
    wanted = arrays(stages, cells, live.keys(), cluster.array_limit)
    if wanted:
        from bench.execute.ready import check_adapters

        for line in check_adapters([step for array in wanted for step in array.steps], config_dirs):
            warn(line)
    numbers = {key: found.job.number for key, found in live.items()}
    folder = launches.fresh(store) if wanted else Path()
    for array in wanted:
        after = numbers[array.after] if array.after else ""
        keys = [step.key for step in array.steps]
        jobs = _submit(array, keys, after, folder, file, store, cluster)
        numbers |= dict(zip(keys, jobs, strict=True))
    busy = sum(1 for key in (*stages, *cells) if key in live)
    return Launch(keys=frozenset(numbers.keys() - live.keys()), arrays=len(wanted), busy=busy)


def _submit(
    array: Array, keys: list[str], after: str, folder: Path, file: Path, store: Store, cluster: Cluster
) -> list[str]:
    """Call sbatch once, and note what it accepts; return the number of each task's job."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    from bench.execute.node import Work
    from bench.execute.sbatch import Sbatch

    def accepted(numbers: list[str]) -> None:
        try:
            launches.note(folder, numbers, keys)
        except BaseException:  # e.g. a full disk: what is not noted would be submitted again
            cancel([numbers[0].partition("_")[0]])
            raise

    executor = Sbatch(folder, cluster.max_attempts, accepted)
    executor.update_parameters(**_parameters(array, after, cluster))
    same = [str(store.root.resolve()), file.name, str(cluster.max_attempts)]
    columns = [keys, *([word] * len(keys) for word in same)]
    try:
        with writing(folder), redirect_stderr(StringIO()):  # the error repeats what sbatch says
            return [str(job.job_id) for job in executor.map_array(Work(), *columns)]
    except (FailedJobError, FailedSubmissionError) as error:
        lines = [line for line in str(error).splitlines() if "sbatch: error" in line] or [str(error)]
        said = " ".join(line.removeprefix("sbatch: error: ").strip() for line in lines)
        raise ConfigError(f"sbatch refuses {array.steps[0].slug}: {said} (site YAML or resources)") from error


def _parameters(array: Array, after: str, cluster: Cluster) -> dict[str, Any]:
    """Return what submitit is told: parameters of the array and of the site."""
    need = array.resources
    names = ("partition", "account", "qos", "constraint")
    more: dict[str, Any] = {name: value for name in names if (value := getattr(cluster, name))}
    if need["gpus"]:
        more["gpus_per_node"] = int(need["gpus"])
    processes = max(1, int(need["gpus"]))
    if after:
        more["dependency"] = f"afterok:{after}"
    requeue = "requeue" if cluster.max_attempts > 1 else "no-requeue"
    return dict(
        job_name=f"bench-{array.steps[0].kind}-{array.steps[0].slug}"[:64],
        time=math.ceil(need["hours"] * 60),
        mem=f"{math.ceil(need['mem'] * 1024)}M",
        nodes=int(need["nodes"]),
        ntasks_per_node=processes,
        cpus_per_task=int(need["cpus"]),
        signal_delay_s=cluster.signal_s,
        array_parallelism=cluster.at_once,
        srun_args=["--kill-on-bad-exit=1"],  # of processes that train together none can go on alone
        setup=["export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK", *cluster.setup],
        additional_parameters={"kill-on-invalid-dep": "yes", requeue: True, **cluster.sbatch},
        **more,
    )


def cancel_plan(plan: Plan, store: Store, queue: Queue) -> tuple[int, int]:
    """Cancel the jobs of a plan; stages that jobs of another plan wait for are left alone.

    Returns:
        How many jobs were cancelled, and how many were left alone.

    Raises:
        StepError: the controller does not answer.
    """
    live = live_jobs(store, queue)
    ours = {key: found.job.number for key, found in live.items() if key in plan.keys}
    others = {step.key: step for step in plans.kept(store).steps if step.key in live.keys() - ours.keys()}
    needed = {s.key for step in others.values() for s in step.ancestors()} & ours.keys()
    numbers = [number for key, number in ours.items() if key not in needed]
    rest = {found.job.number for found in live.values()} - set(numbers)
    kept = {number.partition("_")[0] for number in rest}
    whole = {array for n in numbers if (array := n.partition("_")[0]) not in kept}
    cancel([*sorted(whole), *(n for n in numbers if n.partition("_")[0] in kept)])
    return len(numbers), len(needed)
