from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import ConfigError
from bench.grid.plan import NO_ENCODER, Cell, Plan, Step, expand
from bench.grid.request import Request
from bench.grid.resources import DEFAULTS

TRAIN = {
    "optimizer": "sgd", "lr": 0.03, "base_batch": 8, "momentum": 0.9, "weight_decay": 0.0, "batch_groups": 1,
}  # fmt: skip


def stage(name: str, share: float, version: int = 1) -> dict[str, Any]:
    return {
        "adapter": "methods.toy:Toy", "version": version, "budget_share": share, "config": {"dim": 4},
        "train": TRAIN, "augment": {}, "augment2": None, "name": name, "encoders": {"rgb": "image"},
        "optional": [], "mix": "body", "fields": [], "views": 1, "pairs": [],
        "uses": {},
    }  # fmt: skip


def method(
    *stages: dict[str, Any], kinds: tuple[str, ...] = ("pyramid", "tokens"), **more: Any
) -> dict[str, Any]:
    return {"encoder_kinds": list(kinds), "gives": ["rgb"], "stages": {s["name"]: s for s in stages}, **more}


def encoder(kind: str, pretrained: str | None = None) -> dict[str, Any]:
    return {
        "adapter": "bench.encoders.toy:Toy", "version": 1, "kind": kind, "config": {"width": 8},
        "pretrained": pretrained, "summary": "not hashed",
    }  # fmt: skip


FINETUNE = {
    "samples": {"train": 20, "val": 10, "test": 10}, "steps": 6, "batch": 4, "optimizer": "adamw",
    "lr": {"pyramid": 0.001, "tokens": 0.002}, "evaluations": 2,
}  # fmt: skip


def task(name: str, source: str, **more: Any) -> dict[str, Any]:
    return {
        "adapter": "tasks.toy:Toy", "version": 1, "score_version": 1, "inputs": ["rgb"], "needs": [],
        "wants": [], "published": "", "minimum_effect": 0.5, "config": {}, "augment": {}, "name": name,
        "dataset": "people", "is_default": True, "source_name": source, "extra": [], "size": [32, 32],
        "samples": FINETUNE["samples"], "splits": {"train": "train", "val": "val", "test": "test"},
        "finetune": FINETUNE, **more,
    }  # fmt: skip


def request(**changes: Any) -> Request:
    """Two methods that share a stage, one for tokens alone, and scratch."""
    first = stage("cmc.contrast", 0.5)
    body: dict[str, Any] = {
        "methods": {
            "hcmoco": method(first, stage("hcmoco.dense", 0.5)),
            "cmc": method(first, stage("cmc.contrast_2", 0.5)),
            "mae": method(stage("mae.pixels", 1.0), kinds=("tokens",)),
            "scratch": method({**stage("scratch.weights", 0.0), "train": {}}),
        },
        "tasks": {"densepose": task("densepose", "d_dense"), "parsing": task("parsing", "d_parse")},
        "encoders": {
            "cnn": encoder("pyramid"), "vit": encoder("tokens"), "tagged": encoder("pyramid", "x.in1k"),
        },
        "datasets": {
            "people": {
                "adapter": "bench.datasets.toy:Toy", "version": 1, "config": {"seed": 0}, "sources": {},
                "splits": {"train": "train", "val": "val", "test": "test"}, "joint_set": "smpl24",
                "lacks": {},
            },
        },
        "preset": {
            "name": "tiny", "size": [32, 32], "precision": "32-true", "cpu_threads": 1,
            "pretrain": {
                "mixes": {"body": {"dataset": "people", "samples": {"lab": 24, "wild": 0}, "hide": {}}},
                "samples_seen": 64, "batch": 8, "seeds": "each",
            },
            "finetune": FINETUNE,
        },
        "budgets": ("fraction=1/10", "fraction=1"), "seeds": (0, 1), "chosen_encoders": (),
        "default_encoders": {
            "hcmoco": ("cnn", "vit"), "cmc": ("cnn",), "mae": ("vit",), "scratch": ("tagged",),
        },
        "track": "controlled", "mode": "strict", "config_dirs": (), "resources": DEFAULTS,
        "joint_set": "smpl24",
    }  # fmt: skip
    return Request(**{**body, **changes})


def find(plan: Plan, *words: str | int) -> Cell:
    """Return the one cell with these values of method, encoder, task, budget, seed; "" is any."""
    hits = [
        c
        for c in plan.cells
        if all(
            w in ("", v) for w, v in zip(words, (c.method, c.encoder, c.task, c.budget, c.seed), strict=False)
        )
    ]
    assert len(hits) == 1
    return hits[0]


def step_of(plan: Plan, *words: str | int) -> Step:
    step = find(plan, *words).step
    assert step is not None
    return step


GOLDEN = [
    ("pretrain", "df902048d7b359bc"),
    ("pretrain", "a53823db9bfc2ed2"),
    ("finetune", "93f991e5ee664fed"),
    ("predict", "87c0aeaa58066a3e"),
    ("score", "47620550d5f32d43"),
]


def test_golden_keys() -> None:
    """Keys name the folders of finished work: a change here makes all stores start over."""
    assert Step("pretrain", {"b": [1, 2.5, None], "a": {"ü": True}}).key == "bafed0d73861b5fb"
    plan = expand(request())
    step = step_of(plan, "hcmoco", "cnn", "densepose", "fraction=1/10", 0)
    keys = [(s.kind, s.key) for s in (*step.ancestors(), step)]
    assert keys == GOLDEN


def test_keys_do_not_depend_on_order_resources_or_summaries() -> None:
    def backwards(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: backwards(v) for k, v in reversed(value.items()) if k != "stages"} | (
                {"stages": {k: backwards(v) for k, v in value["stages"].items()}} if "stages" in value else {}
            )
        return value

    one = request()
    turned = {f.name: backwards(getattr(one, f.name)) for f in dataclasses.fields(one)}
    other = Request(**{**turned, "resources": {**DEFAULTS, "gpus": 4, "nodes": 2}})
    for spec in other.encoders.values():
        spec["summary"] = "another"  # type: ignore[index]
    assert expand(one).keys == expand(other).keys
    asked = {s.kind: (s.resources["nodes"], s.resources["gpus"]) for s in expand(other).steps}
    assert asked == {"pretrain": (2, 4), "finetune": (1, 1), "predict": (1, 1), "score": (1, 1)}


@pytest.mark.parametrize(
    ("path", "value", "moved"),
    [
        ("preset.size", [64, 64], {"pretrain", "finetune", "predict", "score"}),
        ("preset.pretrain.samples_seen", 128, {"pretrain", "finetune", "predict", "score"}),
        ("tasks.densepose.finetune.steps", 7, {"finetune", "predict", "score"}),
        ("tasks.densepose.finetune.steps", 6.0, {"finetune", "predict", "score"}),  # hence typed requests
        ("tasks.densepose.samples.test", 11, {"predict", "score"}),
        ("tasks.densepose.score_version", 2, {"score"}),
        ("tasks.densepose.minimum_effect", 0.4, {"score"}),
        ("tasks.parsing.version", 2, set()),
        ("datasets.people.config.seed", 1, {"pretrain", "finetune", "predict", "score"}),
        ("methods.mae.stages", {"mae.pixels": stage("mae.pixels", 1.0, version=2)}, set()),
        ("seeds", (0, 1, 2), set()),
        ("budgets", ("fraction=1/10",), set()),
    ],
)
def test_a_change_moves_the_keys_downstream_of_it_alone(path: str, value: Any, moved: set[str]) -> None:
    words = ("hcmoco", "cnn", "densepose", "fraction=1/10", 0)
    before = step_of(expand(request()), *words)
    body = json.loads(json.dumps(dataclasses.asdict(request())))
    *way, last = path.split(".")
    section = body
    for name in way:
        section = section[name]
    section[last] = value
    tuples = {name: tuple(body[name]) for name in ("budgets", "seeds", "chosen_encoders", "config_dirs")}
    after = step_of(expand(Request(**{**body, **tuples})), *words)
    pairs = zip((*before.ancestors(), before), (*after.ancestors(), after), strict=True)
    assert {a.kind for a, b in pairs if a.key != b.key} == moved


def test_equal_stages_are_one_step() -> None:
    plan = expand(request())
    first = [
        step_of(plan, m, "cnn", "densepose", "fraction=1", 0).inputs[0].inputs[0].inputs[0]
        for m in ("hcmoco", "cmc")
    ]
    assert first[0].inputs[0] is first[1].inputs[0] and first[0].key != first[1].key
    assert len([s for s in plan.steps if s.kind == "pretrain" and s.spec["name"] == "cmc.contrast"]) == 2 * 2
    assert first[0].spec["train"]["steps"] == 4 and first[0].spec["data"]["parts"] == [
        {"source": "lab", "split": "pretrain", "samples": 24, "hide": []}
    ]


def test_scratch_runs_on_every_encoder_of_the_grid() -> None:
    cells = expand(request()).cells
    pairs = list(dict.fromkeys((c.method, c.encoder) for c in cells))
    assert pairs == [
        ("hcmoco", "cnn"), ("hcmoco", "vit"), ("cmc", "cnn"), ("mae", "vit"),
        ("scratch", "cnn"), ("scratch", "vit"),
    ]  # fmt: skip
    alone = request(
        methods={"scratch": request().methods["scratch"]}, default_encoders={"scratch": ("tagged",)}
    )
    assert {c.encoder for c in expand(alone).cells} == {"tagged"}
    seeds = {s.spec["seed"] for s in expand(alone).steps if s.kind == "pretrain"}
    assert seeds == {0, 1}


def test_what_cannot_be_run_says_why() -> None:
    published = method({**stage("imagenet.weights", 0.0), "train": {}}, needs_pretrained_tag=True)
    base = request()
    plan = expand(
        request(
            methods={**base.methods, "imagenet": published},
            chosen_encoders=("cnn", "vit", "tagged"),
            budgets=("fraction=1", "shots=16"),
            seeds=(0,),
        )
    )
    assert len(plan.cells) == 5 * 3 * 2 * 2
    mae = find(plan, "mae", "cnn", "densepose", "fraction=1")
    assert mae.step is None and mae.reason == "mae trains tokens encoders; cnn is of kind pyramid"
    assert find(plan, "imagenet", "cnn", "densepose", "fraction=1").reason == "cnn has no published weights"
    assert find(plan, "imagenet", "tagged", "densepose", "fraction=1").step is not None
    assert "no class per sample" in find(plan, "cmc", "cnn", "densepose", "shots=16").reason
    assert all((c.step is None) == bool(c.reason) for c in plan.cells)
    none = expand(request(default_encoders={**base.default_encoders, "mae": ()}))
    lost = find(none, "mae", NO_ENCODER, "parsing", "fraction=1", 1)
    assert lost.step is None and "of which preset tiny names none" in lost.reason


def test_shots_are_planned_where_samples_have_classes() -> None:
    tasks = {"actions": {**task("actions", "d_act"), "shots": True}}
    plan = expand(request(tasks=tasks, budgets=("shots=16",)))
    specs = [s.spec for s in plan.steps if s.kind == "finetune"]
    assert specs and all(s["subset"] == s["seed"] for s in specs)


@pytest.mark.parametrize(
    ("budget", "subsets"),
    [
        ("fraction=1", (0, 0, 0)),
        ("fraction=1/3", (0, 0, 0)),
        ("fraction=1/10", (0, 1, 2)),
        ("fraction=1/1000", (0, 1, 2)),
    ],
)
def test_later_seeds_draw_other_subsets_of_small_budgets(budget: str, subsets: tuple[int, ...]) -> None:
    plan = expand(request(budgets=(budget,), seeds=(0, 1, 2)))
    found = {(s.spec["seed"], s.spec["subset"]) for s in plan.steps if s.kind == "finetune"}
    assert found == set(enumerate(subsets))


def test_one_checkpoint_can_serve_all_seeds() -> None:
    body = request()
    preset = {**body.preset, "pretrain": {**body.preset["pretrain"], "seeds": "one"}}
    plan = expand(request(preset=preset, seeds=(1, 2)))
    seeds = {(s.spec["name"], s.spec["seed"]) for s in plan.steps if s.kind == "pretrain"}
    assert ("mae.pixels", 0) in seeds and ("mae.pixels", 1) not in seeds  # whichever seeds are asked for
    assert {("scratch.weights", 1), ("scratch.weights", 2)} <= seeds


def test_budgets_must_be_spent_whole() -> None:
    with pytest.raises(ConfigError, match=r"method cmc: budget_share of its stages adds up to 0\.5"):
        expand(request(methods={"cmc": method(stage("cmc.contrast", 0.5))}))
    with pytest.raises(ConfigError, match=r"budget_share of stage cmc\.b is not enough for one step"):
        expand(request(methods={"cmc": method(stage("cmc.a", 0.99), stage("cmc.b", 0.01))}))
    thirds = method(*(stage(f"cmc.{n}", 1 / 3) for n in "abc"))
    assert expand(request(methods={"cmc": thirds})).cells


def test_overrides_show_in_the_labels_of_the_cells_that_they_concern() -> None:
    changes = {
        "preset.finetune.steps": 9,
        "task.parsing.config.width": 8,
        "method.hcmoco.stages.hcmoco.dense.config.dim": 4,
        "method.cmc.stages.cmc.contrast.config.dim": 2,
    }
    plan = expand(request(changes=changes, seeds=(0,), budgets=("fraction=1",)))

    def labels(method: str, task: str) -> tuple[str, str]:
        spec = step_of(plan, method, "cnn", task).inputs[0].inputs[0].spec
        return spec["preset"], spec["variant"]

    assert labels("scratch", "densepose") == ("tiny (finetune.steps=9)", "")
    assert labels("scratch", "parsing") == ("tiny (finetune.steps=9, config.width=8)", "")
    assert labels("cmc", "densepose")[1] == "cmc.contrast.config.dim=2"
    assert labels("hcmoco", "densepose")[1] == "cmc.contrast.config.dim=2, hcmoco.dense.config.dim=4"
    many = expand(request(changes={f"preset.finetune.key_{i}": i for i in range(20)}))
    spec = step_of(many, "cmc", "cnn", "densepose", "fraction=1", 0).inputs[0].inputs[0].spec
    assert spec["preset"].startswith("tiny (20 overrides, ")
    assert {s.spec["preset"] for s in many.steps if s.kind == "pretrain"} == {"tiny"}


PROBE = {
    "steps": 9, "batch": 4, "optimizer": "adamw", "rates": [0.01, 0.1], "evaluations": 1,
    "neighbours": [5], "temperature": 0.1,
}  # fmt: skip


def probed(**changes: Any) -> Request:
    """As `request`, on one method, with frozen protocols of both tasks."""
    tasks = {
        "densepose": task("densepose", "d_dense", probes={"linear": "maps"}, probe=PROBE),
        "parsing": task("parsing", "d_dense", probes={"linear": "maps", "knn": "pooled"}, probe=PROBE),
    }
    base = request()
    words: dict[str, Any] = {
        "methods": {"cmc": base.methods["cmc"]}, "tasks": tasks, "preset": {**base.preset, "probe": PROBE},
        "protocols": ("finetune", "linear", "knn"), **changes,
    }  # fmt: skip
    return request(**words)


def test_frozen_protocols_share_the_features_of_an_encoder() -> None:
    plan = expand(probed())
    assert [c.protocol for c in plan.cells[:12:4]] == ["finetune", "linear", "knn"] and len(plan.cells) == 24
    kinds = [step.kind for step in plan.steps]
    # per seed: maps of three splits for all linear cells, pooled vectors for the others
    assert kinds.count("features") == 2 * 6 and kinds.count("probe") == 2 * 6
    (reason,) = {c.reason for c in plan.cells if c.task == "densepose" and c.protocol == "knn"}
    assert reason == "densepose has no protocol knn, only finetune, linear"
    cell = next(c for c in plan.cells if c.protocol == "linear" and c.task == "parsing")
    assert cell.step is not None
    predicted = cell.step.inputs[0]
    probe, tested = predicted.inputs
    assert probe.kind == "probe" and probe.spec["protocol"] == "linear-2" and "augment" not in probe.spec
    assert [s.spec["data"]["parts"][0]["split"] for s in (*probe.inputs, tested)] == ["train", "val", "test"]
    assert {s.inputs[0].key for s in (*probe.inputs, tested)} == {
        s.key for s in cell.step.ancestors() if s.kind == "pretrain" and s.spec["name"] == "cmc.contrast_2"
    }
    assert expand(request()).keys > {
        s.key for s in plan.steps if s.kind == "finetune" and s.spec["task"] == "densepose"
    }


def test_a_probe_depends_on_its_own_recipe_alone() -> None:
    def keys(protocol: str, **changes: Any) -> set[str]:
        plan = expand(probed(**changes))
        return {c.step.key for c in plan.cells if c.step and c.protocol == protocol}

    for changed, moved in (("preset.probe.steps", "linear"), ("preset.finetune.steps", "finetune")):
        changes = {changed: 7}
        assert keys("finetune", changes=changes).isdisjoint(keys("finetune")) == (moved == "finetune")
        assert keys("linear", changes=changes).isdisjoint(keys("linear")) == (moved == "linear")
    sizes = {"preset.finetune.samples.train": 9}  # of the data, which all protocols read
    assert keys("knn", changes=sizes).isdisjoint(keys("knn"))


def test_probes_that_cannot_be_have_a_reason() -> None:
    base = probed()

    def reasons(**changes: Any) -> set[str]:
        return {c.reason for c in expand(probed(**changes)).cells if c.protocol == "linear"}

    assert reasons() == {""}
    assert reasons(preset={**base.preset, "probe": None}) == {
        "preset tiny has no section probe, which says how frozen probes are trained"
    }
    graph = {**base.encoders, "cnn": encoder("graph")}
    methods = {"cmc": {**base.methods["cmc"], "encoder_kinds": ["graph"]}}
    tasks = {
        name: {**body, "finetune": {**FINETUNE, "lr": {"graph": 0.1}}} for name, body in base.tasks.items()
    }
    said = "the protocol linear of {} reads maps, which cnn of kind graph does not return"
    assert reasons(encoders=graph, methods=methods, tasks=tasks) == {
        said.format("densepose"), said.format("parsing"),
    }  # fmt: skip
    pooled = {c.reason for c in expand(probed(encoders=graph, methods=methods, tasks=tasks)).cells
              if c.protocol == "knn" and c.task == "parsing"}  # fmt: skip
    assert pooled == {""}


def test_what_a_method_does_not_give_makes_cells_not_applicable() -> None:
    base = request()
    gives = {name: {**body, "gives": ["rgb"]} for name, body in base.methods.items()}
    gives["hcmoco"] = {**gives["hcmoco"], "gives": ["rgb", "depth", "decoder"]}
    tasks = {
        "pair": task("pair", "d", needs=["decoder"]),
        "both": task("both", "d", inputs=["rgb", "depth"]),
        "depth": task("depth", "d", inputs=["depth"]),
        "wish": task("wish", "d", wants=["decoder"]),
    }
    plan = expand(request(methods=gives, tasks=tasks, budgets=("fraction=1",), seeds=(0,)))
    reasons = {c.task: c.reason for c in plan.cells if c.method == "cmc"}
    assert reasons == {
        "pair": "pair needs decoder, which cmc does not give",
        "both": "both needs depth, which cmc does not give",
        "depth": "",  # the encoder of colour reads depth, too
        "wish": "",
    }
    assert all(not c.reason for c in plan.cells if c.method == "hcmoco")


def test_a_pair_counts_two_pictures() -> None:
    pairs = method({**stage("pair.train", 1.0), "pairs": ["view"]})
    single = method(stage("single.train", 1.0))
    defaults = {"pair": ("cnn",), "single": ("cnn",)}
    plan = expand(request(methods={"pair": pairs, "single": single}, default_encoders=defaults, seeds=(0,)))
    steps = {s.spec["name"]: s.spec["train"]["steps"] for s in plan.steps if s.kind == "pretrain"}
    assert steps == {"pair.train": 4, "single.train": 8}


def test_hidden_fields_and_encoders_by_modality_are_part_of_the_spec() -> None:
    base = request()
    mix = {"dataset": "people", "samples": {"lab": 24, "wild": 8}, "hide": {"lab": ["depth"]}}
    preset = {**base.preset, "pretrain": {**base.preset["pretrain"], "mixes": {"body": mix}}}
    two = method({**stage("cmc.a", 1.0), "encoders": {"rgb": "image", "kp2d": "vit"}})
    plan = expand(request(preset=preset, methods={"cmc": two}, seeds=(0,)))
    (spec,) = (s.spec for s in plan.steps if s.kind == "pretrain")
    assert [(p["source"], p["hide"]) for p in spec["data"]["parts"]] == [("lab", ["depth"]), ("wild", [])]
    assert {m: e["name"] for m, e in spec["encoders"].items()} == {"rgb": "cnn", "kp2d": "vit"}


NAMES = st.sampled_from(["hcmoco", "cmc", "mae", "scratch"])


@settings(max_examples=40, deadline=None)
@given(
    methods=st.lists(NAMES, min_size=1, unique=True),
    tasks=st.lists(st.sampled_from(["densepose", "parsing"]), min_size=1, unique=True),
    encoders=st.lists(st.sampled_from(["cnn", "vit", "tagged"]), min_size=1, unique=True),
    budgets=st.lists(st.sampled_from(["fraction=1", "fraction=1/10", "shots=4"]), min_size=1, unique=True),
    seeds=st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True),
)
def test_grids_are_products_and_inputs_come_first(
    methods: list[str], tasks: list[str], encoders: list[str], budgets: list[str], seeds: list[int]
) -> None:
    base = request()
    plan = expand(
        request(
            methods={m: base.methods[m] for m in methods},
            tasks={t: base.tasks[t] for t in tasks},
            chosen_encoders=tuple(encoders),
            budgets=tuple(budgets),
            seeds=tuple(seeds),
        )
    )
    cells = [(c.method, c.encoder, c.task, c.budget, c.seed) for c in plan.cells]
    assert (
        len(set(cells)) == len(cells) == len(methods) * len(tasks) * len(encoders) * len(budgets) * len(seeds)
    )
    done: set[str] = set()
    for step in plan.steps:
        assert step.key not in done and all(i.key in done for i in step.inputs)
        assert len(step.key) == 16 and len(step.slug) <= 80 and "/" not in step.slug
        done.add(step.key)
    scores = {c.step.key for c in plan.cells if c.step}
    assert {s.key for s in plan.steps if s.kind == "score"} == scores
    assert len(scores) == sum(c.step is not None for c in plan.cells)
    needed = {s.key for c in plan.cells if c.step for s in (*c.step.ancestors(), c.step)}
    assert needed == done == plan.keys


def test_pretraining_does_not_depend_on_the_data_of_tasks() -> None:
    """A start without data, too: a grid with hands first must find the work of one without."""
    people = request().datasets["people"]
    both = request(datasets={"hands": {**people, "joint_set": "hand21"}, "people": people})
    assert {s.key for s in expand(both).steps} == {s.key for s in expand(request()).steps}
