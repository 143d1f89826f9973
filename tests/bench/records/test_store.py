from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from bench.errors import DataError, StepError
from bench.grid.plan import Step
from bench.records import claims
from bench.records.store import Store

BODY: dict[str, Any] = {
    "labels": {}, "inputs": [], "files": {}, "cost": {}, "provenance": {}, "spec": {},
    "curve": [], "facts": {}, "selection": {}, "manifests": {},
}  # fmt: skip


def pretrain(seed: int = 0) -> Step:
    return Step("pretrain", {"name": "cmc.contrast", "encoder": {"name": "tiny"}, "seed": seed})


def finetune(*inputs: Step) -> Step:
    words = {"method": "cmc", "task": "densepose", "budget": "fraction=1/10"}
    return Step("finetune", {**words, "encoder": {"name": "tiny"}, "seed": 3}, inputs)


def test_round_trip_and_place(tmp_path: Path) -> None:
    store, step = Store(tmp_path), finetune(pretrain())
    assert store.record(step) is None and not store.done(step)
    record = store.finish(step, BODY)
    assert store.record(step) == record and record["key"] == step.key and store.done(step)
    place = f"finetune/cmc-tiny-densepose-fraction=1-10-s3-{step.key}/record.json"
    assert (tmp_path / place).is_file()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "is not JSON"),
        (lambda text: text.replace('"seed"', '"dees"').replace("[]", "[1]", 1), "digest does not match"),
        (lambda text: text.replace('"cost": {}', '"cost": {"a": NaN}'), "NaN"),
    ],
)
def test_damaged_records_are_named_set_aside_and_missing(
    damage: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, step = Store(tmp_path), pretrain()
    store.finish(step, BODY)
    path = store.folder(step) / "record.json"
    path.write_text(damage(path.read_text()))
    assert store.record(step) is None and store.state(step) == "missing"
    said = capsys.readouterr().err
    assert message in said and "record.json.corrupt-0" in said and said.count("\n") == 1
    assert (store.folder(step) / "record.json.corrupt-0").is_file()
    store.finish(step, BODY)
    assert store.record(step) is not None and not capsys.readouterr().err


@pytest.mark.parametrize("schema", ["0", "2", '"3.1"'])
def test_a_record_of_another_version_is_skipped_with_a_line_and_stays(
    schema: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, step = Store(tmp_path), pretrain()
    store.finish(step, BODY)
    path = store.folder(step) / "record.json"
    text = path.read_text().replace('"schema": 1', f'"schema": {schema}').replace('"cost"', '"costs"')
    path.write_text(text)
    assert store.record(step) is None and store.record(step) is None
    said = capsys.readouterr().err
    assert "this version reads 1; skipped" in said and said.count("\n") == 1
    assert "use that version" in store.foreign(finetune(step)) and not store.foreign(pretrain(1))
    assert path.read_text() == text and [p.name for p in path.parent.iterdir()] == ["record.json"]


@pytest.mark.parametrize("ending", ["success", "failure"])
def test_a_failure_of_another_version_is_kept_beside(ending: str, tmp_path: Path) -> None:
    store, step = Store(tmp_path), pretrain()
    store.folder(step).mkdir(parents=True)
    path = store.folder(step) / "failure.json"
    path.write_text('{"format": 2, "why": "?"}')
    assert "another version" in store.failure(step)["message"] and store.state(step) == "failed"
    if ending == "success":
        store.finish(step, BODY)
    else:
        store.fail(step, StepError("again"))
        assert (store.failure(step)["attempt"], store.failure(step)["message"]) == (1, "again")
    assert path.with_name("failure.json.other-version-0").read_text() == '{"format": 2, "why": "?"}'


def test_a_record_of_another_step_is_not_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path)
    store.finish(pretrain(0), BODY)
    store.folder(pretrain(0)).rename(store.folder(pretrain(1)))
    assert store.record(pretrain(1)) is None
    assert f"belongs to step {pretrain(0).key}" in capsys.readouterr().err


def test_a_damaged_record_in_a_read_only_store_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path, target: Path) -> None:
        raise OSError(30, "Read-only file system")

    store, step = Store(tmp_path), pretrain()
    store.finish(step, BODY)
    (store.folder(step) / "record.json").write_text("{")
    monkeypatch.setattr(Path, "rename", refuse)
    assert store.record(step) is None
    assert "cannot be moved aside (Read-only file system)" in capsys.readouterr().err


def test_states_follow_from_files(tmp_path: Path) -> None:
    store, first = Store(tmp_path), pretrain()
    second = finetune(first)
    third = Step("predict", {}, (second,))
    chain = (first, second, third)

    def states() -> tuple[str, ...]:
        return tuple(store.state(step) for step in chain)

    assert states() == ("missing", "missing", "missing")
    with store.claim(first) as claim:
        assert claim.held and states() == ("running", "missing", "missing")
        os.utime(claim.path, (0, 0))
        claims._seen.clear()
        assert states() == ("lost", "missing", "missing")
    store.fail(first, StepError("loss is\nnot finite"))
    assert states() == ("failed", "blocked", "blocked")
    with store.claim(first):  # a new attempt
        assert states() == ("running", "missing", "missing")
    store.finish(first, BODY)
    assert states() == ("done", "missing", "missing")
    store.finish(second, BODY)
    store.fail(third, ValueError())
    assert states() == ("done", "done", "failed")


def test_failures_are_counted_and_forgotten_after_success(tmp_path: Path) -> None:
    store, step = Store(tmp_path), pretrain()
    assert store.failure(step) == {}
    for attempt in (1, 2):
        try:
            raise StepError("loss is\nnot finite")
        except StepError as error:
            store.fail(step, error)
        failure = store.failure(step)
        assert failure["attempt"] == attempt and failure["message"] == "loss is not finite"
        assert failure["error"] == "StepError" and failure["expected"] is True
        assert "test_store.py" in failure["traceback"]
    store.fail(step, ZeroDivisionError())
    assert store.failure(step)["message"] == "ZeroDivisionError" and not store.failure(step)["expected"]
    store.finish(step, BODY)
    assert store.failure(step) == {} and store.state(step) == "done"


def test_of_several_failures_in_one_start_of_a_job_the_first_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that train together fail one after the other."""
    store, step = Store(tmp_path), pretrain()
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    for message in ("the reason", "another process is gone"):
        store.fail(step, StepError(message))
    assert (store.failure(step)["message"], store.failure(step)["attempt"]) == ("the reason", 1)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    store.fail(step, StepError("again"))
    assert (store.failure(step)["message"], store.failure(step)["attempt"]) == ("again", 2)


@pytest.mark.parametrize("content", ["", "[]", "[1]", '{"attempt": "x"}', '{"message": "m"}'])
def test_a_damaged_failure_counts_as_none(content: str, tmp_path: Path) -> None:
    store, step = Store(tmp_path), pretrain()
    store.folder(step).mkdir(parents=True)
    (store.folder(step) / "failure.json").write_text(content)
    assert store.failure(step) == {}
    store.fail(step, StepError("again"))
    assert store.failure(step)["attempt"] == 1


def test_a_store_that_cannot_be_written_is_refused_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(tmp_path / "new").prepare()
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="a file is in the way"):
        Store(tmp_path / "file").prepare()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match="disk is full") as caught:
        Store(tmp_path / "new").prepare()
    assert "\n" not in str(caught.value) and list((tmp_path / "new").iterdir()) == []


def test_data_lies_in_the_store_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BENCH_DATA", raising=False)
    assert Store(tmp_path).data == tmp_path / "data"
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "elsewhere"))
    assert Store(tmp_path).data == tmp_path / "elsewhere"


def test_records_hold_what_they_were_given(tmp_path: Path) -> None:
    store, step = Store(tmp_path), pretrain()
    store.finish(step, {**BODY, "spec": dict(step.spec)})
    text = json.loads((store.folder(step) / "record.json").read_text())
    assert text["spec"] == step.spec and text["kind"] == "pretrain"
