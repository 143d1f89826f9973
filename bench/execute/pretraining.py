"""The `pretrain` step: train one stage of a method and keep its state and its encoders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lightning_fabric import Fabric
from safetensors.torch import load_file
from torch import nn

from bench.adapters.loading import load_configured
from bench.api import Batch, Context, DataInfo, Dataset, Encoder, Export, Method, StepOutput
from bench.data.feed import feed
from bench.data.opening import open_dataset
from bench.encoders import build_encoder, fields_of, save_encoder
from bench.encoders.files import check_state, pack, packed_specs
from bench.encoders.modules import save_module
from bench.errors import DataError, StepError
from bench.execute.device import device_name, make_fabric
from bench.execute.site import ALONE, RunContext, check_input, digests
from bench.files import write_atomic
from bench.grid.plan import Step, code_of
from bench.grid.weights import located
from bench.records.provenance import provenance
from bench.records.store import Store
from bench.train.loop import fit, points
from bench.train.run import Outcome, Run, TrainModule
from bench.train.seeding import seeded_initialisation

STATE = "state.safetensors"


class PretrainModule(TrainModule):
    """Lets the loop train a method."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def step(self, batch: Batch, ctx: Context) -> StepOutput:
        out = self.method.training_step(batch, ctx)
        if not isinstance(out, StepOutput):
            raise StepError(f"training_step() returns {_kind(out)}, not a StepOutput(terms={{...}})")
        return out

    def before_step(self, ctx: Context) -> None:
        self.method.before_step(ctx)

    def after_step(self, ctx: Context) -> None:
        self.method.after_step(ctx)

    def group(self, name: str, parameter: nn.Parameter) -> Mapping[str, Any]:
        return self.method.group(name.removeprefix("method."), parameter)


def pretrain(step: Step, store: Store, site: RunContext) -> dict[str, Any]:
    """Train one stage and write `state.safetensors` and `encoders/<modality>/`; return the record's body.

    The processes of a team call it together; the first one writes, the others return nothing.
    """
    spec = step.spec
    fabric = make_fabric(spec, site.accelerator, site.team if spec["data"] else ALONE)
    data = open_dataset(spec["data"], store.data, site.config_dirs) if spec["data"] else None
    info = data.info if data else untrained_info(spec)
    config = located(spec["config"], step.resources)
    previous = check_input(store, step.inputs[0], STATE) if step.inputs else None
    encoders = packed_specs(previous) if previous else {}
    method = build_method({**spec, "config": config}, info, site.config_dirs, encoders)
    if previous:
        load_previous(method, previous, str(spec["name"]))
    facts = {} if step.inputs else dict(method.initialise())
    if data:
        facts["sources"] = "+".join(sorted(data.sources))
    folder = store.folder(step)
    outcome = Outcome()
    if data:
        outcome = fit(PretrainModule(method), make_run(step, data, folder, fabric, fields_of(method)), fabric)
    if site.team.rank:
        return {}
    names = save_method(method, folder)
    return {
        "labels": {
            "method": str(spec["name"]).partition(".")[0],
            "stage": str(spec["name"]),
            "encoder": spec["encoder"]["name"],
            "seed": spec["seed"],
            "preset": spec["preset"],
            "track": spec["track"],
            "mode": spec["mode"],
        },
        "curve": outcome.curve,
        "facts": {str(k): str(v) for k, v in facts.items()},
        "manifests": {"pretrain": {"n": len(data.ids), "sha256": data.manifest_sha256}} if data else {},
        "files": digests(folder, names),
        "cost": outcome.cost,
        "provenance": provenance(device_name(fabric), code_of(spec)),
    }


def untrained_info(spec: Mapping[str, Any]) -> DataInfo:
    """Return what a stage without data sizes itself by."""
    height, width = spec["size"]
    return DataInfo(n_samples=0, size=(int(height), int(width)), joint_set=str(spec["joint_set"]))


def build_method(
    spec: Mapping[str, Any],
    info: DataInfo,
    config_dirs: tuple[str, ...],
    previous: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> Method:
    """Build a stage's module with freshly initialised encoders.

    Encoders draw from a stream of their own, so that with equal seeds all methods start from equal weights.
    Those that a previous stage had are built by their spec there, which published weights may have changed.
    """
    adapter, config = load_configured(spec, Method, str(spec["name"]), config_dirs)
    encoders: dict[str, Encoder] = {}
    for modality, chosen in spec["encoders"].items():
        with seeded_initialisation(spec["seed"], "encoder", spec["encoder"]["name"], modality):
            encoders[modality] = build_encoder(
                previous.get(modality, chosen), modality, info.joint_set, config_dirs
            )
    with seeded_initialisation(spec["seed"], "method", str(spec["name"])):
        method: Method = adapter(config, encoders, info)
    if not hasattr(method, "encoders"):
        raise StepError(f"{spec['name']}: its __init__ never calls super().__init__(cfg, encoders, data)")
    return method


def load_previous(method: Method, path: Path, name: str) -> None:
    """Load the state of the previous stage; only declared parts may stay fresh.

    Raises:
        DataError: the previous stage lacks state that this one does not declare as fresh.
    """
    found = load_file(path)
    own = method.state_dict()
    check_state({k: v for k, v in found.items() if k.startswith("encoders.")}, own, path)
    fresh = tuple(method.fresh_parameters())
    fits = {k for k, v in found.items() if k in own and v.shape == own[k].shape}
    missing = [k for k in own if k not in fits and not k.startswith(fresh)]
    if missing:
        raise DataError(
            f"{name}: the previous stage has no {missing[0]} of that shape ({len(missing)} such entries)"
        )
    method.load_state_dict({k: found[k] for k in fits}, strict=False)


def make_run(step: Step, data: Dataset, folder: Path, fabric: Fabric, fields: tuple[str, ...] = ()) -> Run:
    """Connect data, augmentation and recipe of a stage to the loop; `fields`: see `fields_of`."""
    train = step.spec["train"]
    rate = float(train["lr"]) * int(train["batch"]) / int(train["base_batch"])  # linear scaling rule
    return feed(
        step,
        data,
        folder,
        fabric,
        train={**train, "lr": rate},
        modalities=tuple(step.spec["encoders"]),
        labels=tuple(dict.fromkeys((*step.spec["fields"], *fields))),
        views=int(step.spec["views"]),
        pairs=tuple(step.spec["pairs"]),
        evaluate_at=points(int(train["steps"]), 50),
    )


def save_method(method: Method, folder: Path) -> list[str]:
    """Write the full state and each exported encoder; return the names of the files."""
    encoders = {m: e for m, e in method.encoders.items() if isinstance(e, Encoder)}
    write_atomic(folder / STATE, pack(method, encoders))
    names = [STATE]
    exported = method.export()
    if not isinstance(exported, Export):
        raise StepError(f"export() returns {_kind(exported)}, not an Export(encoders={{...}})")
    for modality, encoder in exported.encoders.items():
        if not isinstance(encoder, Encoder):
            raise StepError(f"export() gives {_kind(encoder)} for {modality}, not an Encoder of bench.api")
        place = folder / "encoders" / modality
        save_encoder(encoder, place)
        names += [str(p.relative_to(folder)) for p in sorted(place.iterdir())]
    for name, module in exported.modules.items():
        save_module(name, module, folder / "modules")
        names += [f"modules/{name}.json", f"modules/{name}.safetensors"]
    return names


def _kind(found: object) -> str:
    return "nothing" if found is None else f"a {type(found).__name__}"
