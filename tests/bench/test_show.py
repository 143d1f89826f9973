from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.errors import ConfigError, DataError, StepError
from bench.grid.plan import Step, expand
from bench.grid.request import Words, resolve
from bench.records.store import Store
from bench.show import explain_keys, find_step, show_name, step_logs, summaries

BODY: dict[str, Any] = {
    "labels": {}, "files": {}, "cost": {}, "provenance": {}, "curve": [], "facts": {}, "selection": {},
    "manifests": {}, "exposure": "none", "interval": {"replicates": [0.125] * 1000},
    "metrics": [{"name": "miou", "value": 0.5, "unit": "%", "higher_is_better": True}],
}  # fmt: skip


def finished(tmp_path: Path, *words: str) -> Step:
    """Put records of one cell and all that it needs into the store; return its score step."""
    store = Store(tmp_path / "store")
    request = resolve(Words(methods="cmc", tasks="densepose", overrides=words))
    last = expand(request).cells[0].step
    assert last is not None
    for step in (*last.ancestors(), last):
        store.finish(step, {**BODY, "spec": dict(step.spec), "inputs": [i.key for i in step.inputs]})
    return last


def test_summaries(configs: Path) -> None:
    assert summaries("method", ()) == {"cmc": "contrast", "hcmoco": "dense", "scratch": "random"}
    assert summaries("preset", ()) == {"tiny": "minutes"}
    (configs / "task" / "bad.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        summaries("task", ())


def test_show_prints_the_yaml_or_the_record(configs: Path, tmp_path: Path) -> None:
    step = finished(tmp_path)
    text = show_name("hcmoco", (), tmp_path / "store")
    assert "use: cmc.contrast" in text and str(configs / "method" / "hcmoco.yaml") in text
    for key in (step.key, step.key[:6]):
        text = show_name(key, (), tmp_path / "store")
        assert json.loads(text.partition("\n")[2])["key"] == step.key
        assert "0.125" not in text  # the replicates stay in the file
    with pytest.raises(ConfigError, match=r'"hcmco" is neither .* Did you mean "hcmoco"\?'):
        show_name("hcmco", (), tmp_path / "store")
    with pytest.raises(
        ConfigError, match=r"\. `bench list methods` \(or tasks, .*\) tells the \d+ names, .* keys\.$"
    ):
        show_name("0f0f0f0f", (), tmp_path / "store")


def test_show_follows_a_step_from_claim_to_failure(configs: Path, tmp_path: Path) -> None:
    store, step = Store(tmp_path), Step("pretrain", {"name": "a", "encoder": {"name": "b"}, "seed": 0})
    store.folder(step).mkdir(parents=True)
    assert "nothing written yet" in show_name(step.key, (), tmp_path)
    assert "nothing logged" in step_logs(step.key, tmp_path)
    (store.folder(step) / "spec.json").write_text(json.dumps(dict(step.spec)))
    assert '"name": "a"' in show_name(step.key, (), tmp_path)
    store.fail(step, StepError("loss is not finite"))
    (store.folder(step) / "log.txt").write_text("first line\n")
    assert "loss is not finite" in show_name(step.key, (), tmp_path)
    logs = step_logs(step.key, tmp_path)
    assert "first line\nattempt 1 failed: loss is not finite\n" in logs and "StepError" in logs
    (store.folder(step) / "failure.json").write_text("{")
    with pytest.raises(DataError, match=r"failure\.json is unreadable"):
        show_name(step.key, (), tmp_path)


@pytest.mark.parametrize("key", ["abc", "zzzz", "*", "[0-9]", "0123456789abcdef0", ""])
def test_words_that_are_no_keys_find_nothing(key: str, tmp_path: Path) -> None:
    (tmp_path / "score" / "slug-0123456789abcdef").mkdir(parents=True)
    assert find_step(tmp_path, key) is None
    with pytest.raises(ConfigError, match="no step with key"):
        step_logs(key, tmp_path)


def test_ambiguous_keys_are_listed(tmp_path: Path) -> None:
    for name in (
        "score/a-0123456789abcdef",
        "predict/b-0123ffffffffffff",
        "score/c-0123456789abcdef.corrupt-0",
    ):
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(
        ConfigError,
        match=r"matches several steps: (b-0123f\w+, a-01234\w+|a-01234\w+, b-0123f\w+); give more",
    ):
        find_step(tmp_path, "0123")
    assert find_step(tmp_path, "01234") == tmp_path / "score" / "a-0123456789abcdef"


def test_explain_looks_through_to_the_pretraining(configs: Path, tmp_path: Path) -> None:
    one = finished(tmp_path)
    two = finished(tmp_path, "method.cmc.stages.contrast.config.dim=4", "preset.finetune.samples.test=9")
    lines = explain_keys(one.key, two.key, tmp_path / "store").splitlines()
    assert lines == [
        "pretrain.before.config.dim: 8 -> 4",
        'finetune.preset: "tiny" -> "tiny (finetune.samples.test=9)"',
        'finetune.variant: "" -> "contrast.config.dim=4"',
        'predict.data.parts: [{"hide": [], "samples": 10, "source": "d_densepose", "split": "test"}] -> '
        '[{"hide": [], "samples": 9, "source": "d_densepose", "split": "test"}]',
    ]
    assert "are equal" in explain_keys(one.key, one.key, tmp_path / "store")
    with pytest.raises(ConfigError, match='no step with key "ffff"'):
        explain_keys(one.key, "ffff", tmp_path / "store")
