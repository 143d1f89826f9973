"""What a job does: bring one step to `done`, with whatever it needs; here or on a node alike."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from bench.console import warn
from bench.errors import StepError
from bench.execute.site import RunContext
from bench.files import quarantine, sha256_file, write_atomic
from bench.grid.plan import Step
from bench.records.claims import ours
from bench.records.store import CLAIM, Store

leaving = threading.Event()  # set while a handler of signals ends this process by SystemExit

Result = Literal["done", "failed", "busy", "blocked"]

ASSIST_S = 0.5  # between looks at whether the first process of a job has begun a training
LINGER_S = 30.0  # SLURM ends a job with its first dead process, and says how that one died
LOST_PEER = ("connection closed by peer", "connection reset by peer", "remote process exited", "nccl error")


def ensure(step: Step, site: RunContext) -> Result:
    """Bring a step to `done`; its inputs first. Does not raise for a failed step.

    Returns:
        `done` (now or before), `failed` (reason stored), `blocked` (an input failed), or `busy` (another live
        process works on it).

    Raises:
        StepError: another process of this job has died in a training; what it or SLURM says of it counts.
    """
    store = Store(Path(site.store))
    if store.record(step) is not None:
        return "done"
    if store.foreign(step):
        return "failed"
    for needed in step.inputs:
        result = ensure(needed, site)
        if result == "done" and not _intact(store, needed):
            result = ensure(needed, site)
        if result != "done":
            return "busy" if result == "busy" else "blocked"
    with store.claim(step) as claim:
        if not claim.held:
            return "busy"
        if store.record(step) is not None:
            return "done"
        return _attempt(step, store, site)


def _attempt(step: Step, store: Store, site: RunContext) -> Result:
    folder = store.folder(step)
    write_atomic(folder / "spec.json", json.dumps(dict(step.spec), indent=1, sort_keys=True))
    begun = time.monotonic()
    try:
        body = _work(step)(step, store, site)
        body["cost"] = {"wall_s": time.monotonic() - begun, **body["cost"]}
        body["inputs"] = [i.key for i in step.inputs]
        body["spec"] = dict(step.spec)
        store.finish(step, body)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or leaving.is_set():
            raise
        if site.team.size > 1 and lost_peer(error):
            time.sleep(LINGER_S)
            raise StepError("another process of this training has died") from error
        store.fail(step, _told(error))
        return "failed"
    for name in ("progress.json", *(p.name for p in folder.glob("checkpoint-*.pt"))):
        (folder / name).unlink(missing_ok=True)
    return "done"


def _told(error: BaseException) -> BaseException:
    """Return an error with a message: that of `sys.exit` in the code of an adapter is only a number."""
    if not isinstance(error, SystemExit):
        return error
    told = StepError(f"the code called sys.exit({error.code!r}), which ends no program here")
    return told.with_traceback(error.__traceback__)


def lost_peer(error: BaseException) -> bool:
    """Say whether an error only tells that another process is gone."""
    return any(sign in str(error).lower() for sign in LOST_PEER)


def assist(step: Step, site: RunContext) -> Result:
    """Take part in all trainings that the first process of this job begins, until the step is done.

    Raises:
        Exception: what went wrong in this process; the reason is stored.
    """
    store = Store(Path(site.store))
    joined: set[str] = set()
    while not store.done(step):
        for stage in (*step.ancestors(), step):
            token = ours(store.folder(stage) / CLAIM) if _trains(stage) else ""
            if token and token not in joined:
                joined.add(token)
                _join(stage, store, site)
        time.sleep(ASSIST_S)
    return "done"


def _trains(step: Step) -> bool:
    return step.kind == "pretrain" and bool(step.spec["data"])


def _join(stage: Step, store: Store, site: RunContext) -> None:
    try:
        _work(stage)(stage, store, site)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or leaving.is_set():
            raise
        if lost_peer(error):
            time.sleep(LINGER_S)
        else:
            store.fail(stage, _told(error))
        raise


def _work(step: Step) -> Callable[[Step, Store, RunContext], dict[str, Any]]:
    kind = step.kind
    if kind == "pretrain":
        from bench.execute.pretraining import pretrain

        return pretrain
    if kind == "finetune":
        from bench.execute.finetuning import finetune

        return finetune
    if kind == "features":
        from bench.execute.features import encode

        return encode
    if kind == "probe":
        from bench.execute.probing import probe

        return probe
    if kind == "predict" and step.inputs[0].kind == "probe":
        from bench.execute.probing import predict_probe

        return predict_probe
    if kind == "predict":
        from bench.execute.finetuning import predict

        return predict
    from bench.execute.scoring import score

    return score


def _intact(store: Store, step: Step) -> bool:
    """Compare the files of a done step with its record; damaged ones are moved aside with the record."""
    record = store.record(step)
    if record is None:
        return False
    folder = store.folder(step)
    if step.kind == "features" and (what := _other_weights(store, step, record)):
        with suppress(FileNotFoundError):
            quarantine(folder / "record.json")
        warn(f"{folder}: {what}; moved aside, the features will be computed again")
        return False
    for name, digest in record["files"].items():
        path = folder / name
        if not path.is_file() or sha256_file(path) != digest:
            with suppress(FileNotFoundError):
                quarantine(folder / "record.json")
                if path.exists():
                    quarantine(path)
            warn(
                f"{path} is missing or damaged; moved aside with its record, the step will be computed again"
            )
            return False
    return True


def _other_weights(store: Store, step: Step, record: Mapping[str, Any]) -> str:
    """Say whether features come from other weights than those that their pretraining holds now, "" if not.

    The key does not tell where a pretraining was computed again and did not come to the same bits.
    """
    path = store.folder(step.inputs[0]) / "encoders" / str(record["facts"].get("origin")) / "encoder.json"
    with suppress(OSError, ValueError):
        if json.loads(path.read_text()).get("weights_sha256") == record["facts"].get("weights_sha256"):
            return ""
    return "its features were made by other weights"


def install_signals(idle: Callable[[], bool] = lambda: False) -> None:
    """Make Ctrl-C and SIGTERM save a checkpoint first; a second one leaves at once.

    Args:
        idle: whether this process has nothing to do and may leave without a word.
    """

    def handle(number: int, frame: object) -> None:
        if idle():
            leaving.set()
            raise SystemExit(1)
        loop = sys.modules.get("bench.train.loop")
        if loop is None or loop.stop.is_set() or not loop.active.is_set():
            raise KeyboardInterrupt
        loop.stop.set()

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)


def quiet_threads() -> None:
    """Set what must be set before torch starts: waiting threads sleep instead of spinning."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
