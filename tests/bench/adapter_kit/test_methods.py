"""Every check of a method finds the fault that is planted for it, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.adapter_kit import two_processes
from bench.adapter_kit.finding import Finding, run
from bench.adapter_kit.methods import Stages
from bench.adapter_kit.scaffold import write
from bench.adapter_kit.setting import method_gives, method_stages, prepared
from bench.records.store import Store

INIT = '        self.classify = nn.Linear(encoders["rgb"].feature_info.pooled, TURNS)\n'
RETURN = "        return StepOutput("
FAULTS: dict[str, tuple[str, str, str, str]] = {  # name: check, what it says, line of the skeleton, instead
    "unused": ("gradients", "no gradient reaches spare.bias and 1 more", INIT,
               INIT + "        self.spare = nn.Linear(2, 2)\n"),
    "nan": ("finite loss", "loss term turns is nan", "self.cfg.weight *", "float('nan') *"),
    "apart": ("finite loss", "no loss term (turns) depends on a parameter", "logits.float(), turns)}",
              "logits.detach(), turns)}"),
    "none": ("finite loss", "the step gives no loss term", "terms={", "terms={} and {"),
    "in_place": ("finite loss", 'training_step changes batch["rgb"]', RETURN,
                 "        rgb.mul_(0.5)\n" + RETURN),
    "numpy": ("determinism", "NumPy's global generator", RETURN,
              "        import numpy\n        logits = logits * numpy.random.rand()\n" + RETURN),
    "own": ("determinism", "equal seeds give other losses", RETURN,
            "        import os\n        logits = logits * os.urandom(1)[0]\n" + RETURN),
    "bright": ("images", "values outside [0, 1]", "    def training_step",
               "    def illustrate(self, batch, ctx):\n        from bench.api import Illustration\n\n"
               "        return Illustration(images={'rgb': batch['rgb'] + 1})\n\n"
               "    def training_step"),
    "counter": ("save, load, continue", "differs after a resume", RETURN,
                "        self.count = getattr(self, 'count', 0) + 1\n"
                "        logits = logits * self.count\n" + RETURN),
    "grows": ("save, load, continue", "method.seen was (0,) before the training and is (1,) after a step",
              INIT, INIT + "        self.register_buffer('seen', torch.zeros(0))\n"
              "        self.classify.register_forward_hook(\n"
              "            lambda *_: setattr(self, 'seen', torch.zeros(len(self.seen) + 1)))\n"),
    "late": ("save, load, continue", "late.weight was absent before the training and is (4, 4)", RETURN,
             "        if not hasattr(self, 'late'):\n            self.late = nn.Linear(4, 4)\n"
             "        logits = self.late(logits)\n" + RETURN),
    "listed": ("finite loss", "is no parameter of the method and not trained", RETURN,
               "        self.layers = getattr(self, 'layers', None) or [nn.Linear(4, 4)]\n"
               "        logits = self.layers[0](logits)\n" + RETURN),
    "column": ("save, load, continue", 'scalar "loss_turns": the curve has a column of that name', RETURN,
               RETURN + "scalars={'loss_turns': logits.mean()}, "),
    "frozen": ("export", "training changes no parameter of an encoder", INIT,
               INIT + "        self.encoders.requires_grad_(False)\n"),
    "second": ("save, load, continue", "differs after a resume", RETURN,
               "        bias = self.classify.bias\n"
               "        self.own = getattr(self, 'own', None) or torch.optim.SGD([bias], 0.1, momentum=0.9)\n"
               "        bias.grad = torch.ones_like(bias)\n"
               "        self.own.step()\n        self.own.zero_grad()\n" + RETURN),
    "python": ("determinism", "equal seeds give other losses", RETURN,
               "        import random\n        logits = logits * random.random()\n" + RETURN),
    "late_nan": ("save, load, continue", "loss is not finite at step 7 (turns=nan); losses before", RETURN,
                 "        logits = logits * (float('nan') if ctx.step == 7 else 1)\n" + RETURN),
    "half": ("finite loss", "loss term turns is of type torch.float16", "logits.float(), turns)}",
             "logits.float(), turns).half()}"),
    "single": ("batch of one", "is nan", RETURN,
               "        logits = logits / logits.std(0, correction=0)\n" + RETURN),
    "hidden": ("export", "gives depth, the YAML says gives: [rgb]", "    def training_step",
               "    def export(self):\n        from bench.api import Export\n\n"
               "        return Export(encoders={'depth': self.encoders['depth']})\n\n"
               "    def training_step"),
    "depth": ("missing modalities", "without depth in all samples", RETURN,
              "        some = batch['valid.depth'].float()\n"
              "        logits = logits + self.encoders['depth'](batch['depth']).pooled.sum() * 0\n"
              "        logits = logits * (some / some.sum()).sum()\n" + RETURN),
}  # fmt: skip
QUICK = ("finite loss", "gradients", "batch of one", "missing modalities", "determinism",
         "save, load, continue", "export")  # fmt: skip


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return prepared(method_stages("cmc", ()), tmp_path_factory.mktemp("rendered"), ())


@pytest.fixture
def check(
    rendered: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str, str, tuple[str, ...]], dict[str, Finding]]:
    """Plant a fault into a skeleton; return what the checks find, by name."""
    monkeypatch.setenv("BENCH_DATA", str(rendered.data))

    def found(name: str, old: str, new: str, checks: tuple[str, ...]) -> dict[str, Finding]:
        (source, config, _), _ = write("method", name, tmp_path)
        assert source.read_text().count(old) == 1
        source.write_text(source.read_text().replace(old, new))
        if "depth" in name or name == "hidden":
            text = config.read_text().replace("{rgb: image}", "{rgb: image, depth: image}")
            config.write_text(text.replace("optional: []", "optional: [depth]"))
        dirs = (str(tmp_path),)
        stages = Stages(
            name=name,
            steps=method_stages(name, dirs),
            gives=method_gives(name, dirs),
            store=Store(tmp_path / "store"),
            config_dirs=dirs,
        )
        return {f.check: f for f in run((n, c) for n, c in stages.checks() if n in checks)}

    return found


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found(fault: str, check: Callable[..., dict[str, Finding]]) -> None:
    name, said, old, new = FAULTS[fault]
    wanted = (name, "save, load, continue") if name == "export" else (name,)  # which leaves the encoders
    finding = check(f"planted_{fault}" if fault != "hidden" else fault, old, new, wanted)[name]
    assert finding.state == "failed" and said in finding.reason, finding


def test_a_skeleton_has_no_fault(check: Callable[..., dict[str, Finding]]) -> None:
    found = check("sound", RETURN, RETURN, QUICK)
    assert {name: f.state for name, f in found.items()} == {
        **dict.fromkeys(QUICK, "ok"), "missing modalities": "n/a",
    }, found  # fmt: skip


SECOND = "        if ctx.world.rank:\n            "
PAIR_FAULTS = {  # name: what it says, instead of the line that returns the terms
    "halved": ("differs from that of one process", "        logits = logits - logits.mean(0)\n"),
    "fails": ("two processes: ValueError: only here (", SECOND + "raise ValueError('only here')\n"),
    "leaves": ("one of them died with exit code 3", SECOND + "import os; os._exit(3)\n"),
    "global_rng": (
        "differs from that of one process by",
        "        logits = logits * torch.rand(len(logits), 1)\n",
    ),
    "more": ("call the same functions of ctx.group", SECOND + "ctx.world.all_reduce(logits)\n"),
    "hangs": ("imed out", SECOND + "import time; time.sleep(300)\n"),
}


@pytest.mark.parametrize("fault", PAIR_FAULTS)
def test_fault_of_two_processes_is_found(
    fault: str, check: Callable[..., dict[str, Finding]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(two_processes, "PATIENCE_S", 5.0)
    monkeypatch.setattr(two_processes, "GRACE_S", 1.0)
    said, new = PAIR_FAULTS[fault]
    finding = check(fault, RETURN, new + RETURN, ("two processes agree",))["two processes agree"]
    assert finding.state == "failed" and said in finding.reason, finding
