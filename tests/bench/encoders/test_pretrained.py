import argparse
import io
import json
import os
import pickle
from fractions import Fraction

import huggingface_hub.constants
import pytest
import safetensors.torch
import timm
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.encoders import build_encoder, load_encoder, save_encoder
from bench.encoders.pretrained import Source, load_pretrained
from bench.errors import AssetError, ConfigError
from bench.files import sha256_file


def weights_of(encoder):
    return {k: v.clone().contiguous() for k, v in encoder.model.state_dict().items()}


def contents(encoder):
    """All that loading may change."""
    mean, std = encoder.normalisation
    return encoder.spec, mean, std, {k: v.tolist() for k, v in encoder.model.state_dict().items()}


def load(encoder, state, path, **more):
    """Save a state dict and load it."""
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    return load_pretrained(encoder, Source(file=str(path), **more))


def in_cache(folder, tag, state):
    """Put weights where the Hugging Face client looks for them."""
    place = folder / f"models--timm--{tag}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("abc")
    (place / "snapshots" / "abc").mkdir(parents=True)
    path = place / "snapshots" / "abc" / "model.safetensors"
    safetensors.torch.save_file(state, path)
    return path


@pytest.fixture
def source(spec):
    return build_encoder(spec, "rgb")


@pytest.mark.parametrize("form", ["safetensors", "pth", "wrapped"])
def test_file_fills_every_weight_and_ignores_the_classifier(spec, source, form, tmp_path):
    state = {**weights_of(source), "head.weight": torch.ones(3), "fc.bias": torch.ones(2)}
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    if form == "safetensors":
        safetensors.torch.save_file(state, path)
    else:
        wrapped = {"epoch": torch.tensor(3), "model": {f"module.{k}": v for k, v in state.items()}}
        torch.save(wrapped if form == "wrapped" else state, path)
    encoder = build_encoder(spec, "depth")
    facts = load_pretrained(encoder, Source(file=str(path)))
    assert (facts["weights"], facts["weights_sha256"]) == (path.name, sha256_file(path))
    loaded = encoder.model.state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in source.model.state_dict().items())


def test_incomplete_or_wrong_weights_change_nothing(spec, source, tmp_path):
    encoder = build_encoder(spec, "rgb")
    before = weights_of(encoder)
    state = weights_of(source)
    name = next(k for k in state if k.endswith("weight"))
    safetensors.torch.save_file({k: v for k, v in state.items() if k != name}, tmp_path / "a.safetensors")
    with pytest.raises(AssetError, match=f"1 of .* missing .{name}"):
        load_pretrained(encoder, Source(file=str(tmp_path / "a.safetensors")))
    assert all(torch.equal(v, before[k]) for k, v in encoder.model.state_dict().items())
    safetensors.torch.save_file({**state, name: torch.ones(1, 2)}, tmp_path / "b.safetensors")
    with pytest.raises(AssetError, match="does not fit"):
        load_pretrained(encoder, Source(file=str(tmp_path / "b.safetensors")))


def test_code_in_a_pickle_is_not_run(pyramid_spec, tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    (tmp_path / "w.pth").write_bytes(pickle.dumps({"a": Bomb()}, protocol=2))
    with pytest.raises(AssetError, match=r"Python objects \(posix\.mkdir\)"):
        load_pretrained(build_encoder(pyramid_spec, "rgb"), Source(file=str(tmp_path / "w.pth")))
    assert not (tmp_path / "ran").exists()


def test_cache_is_used_and_its_absence_explained(pyramid_spec, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    encoder, source = (build_encoder(pyramid_spec, "rgb") for _ in range(2))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        AssetError, match=r"HF_HUB_OFFLINE is set.*`hf download timm/resnet18\.tv_in1k .* local"
    ):
        load_pretrained(encoder, Source(tag="resnet18.tv_in1k"))
    path = in_cache(tmp_path, "resnet18.tv_in1k", weights_of(source))
    facts = load_pretrained(encoder, Source(tag="resnet18.tv_in1k"))
    assert (facts["weights"], facts["weights_sha256"]) == ("resnet18.tv_in1k", sha256_file(path))
    assert torch.equal(
        encoder.state_dict()["model.conv1.0.weight"], source.state_dict()["model.conv1.0.weight"]
    )


def test_unknown_sources_are_named(pyramid_spec):
    encoder = build_encoder(pyramid_spec, "rgb")
    with pytest.raises(ConfigError, match="no published weights"):
        load_pretrained(encoder, Source())
    with pytest.raises(ConfigError, match="nonsense"):
        load_pretrained(encoder, Source(tag="resnet18.nonsense"))
    with pytest.raises(AssetError, match="no weights file"):
        load_pretrained(encoder, Source(file="absent.safetensors"))


@pytest.mark.parametrize("tag", ["vit_base_patch16_224.augreg_in21k", "vit_base_patch16_224.mae"])
def test_weights_of_a_tag_bring_their_normalisation_also_after_export(vit_spec, tag, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    encoder, source = (build_encoder(vit_spec, "rgb") for _ in range(2))
    in_cache(tmp_path, tag, weights_of(source))
    facts = load_pretrained(encoder, Source(tag=tag))
    published = timm.get_pretrained_cfg(tag)
    assert facts["weights_mean"] == " ".join(f"{v:g}" for v in published.mean)
    assert facts["weights_std"] == " ".join(f"{v:g}" for v in published.std)
    save_encoder(encoder, tmp_path / "out")
    inputs = json.loads((tmp_path / "out" / "encoder.json").read_text())["inputs"]
    assert inputs["mean"] == pytest.approx(published.mean)
    assert inputs["std"] == pytest.approx(published.std)
    x = torch.rand(1, 3, 32, 32)
    expected = (x - torch.tensor(published.mean).view(3, 1, 1)) / torch.tensor(published.std).view(3, 1, 1)
    for built in (encoder, load_encoder(tmp_path / "out")):
        torch.testing.assert_close(built.preprocess(x), expected)


def test_a_file_takes_the_declared_normalisation_or_the_encoders(spec, source, tmp_path):
    encoder = build_encoder(spec, "rgb")
    facts = load(encoder, weights_of(source), tmp_path / "w.pth")
    assert facts["weights_mean"] == "0.485 0.456 0.406"
    facts = load(encoder, weights_of(source), tmp_path / "w.pth", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.25))
    assert facts["weights_std"] == "0.5 0.5 0.25"
    assert encoder.normalisation == ([0.5] * 3, [0.5, 0.5, 0.25])
    for wrong in (
        {"mean": (0.5,) * 3},
        {"mean": (0.5,), "std": (1.0,)},
        {"mean": (0.5,) * 3, "std": (0.0,) * 3},
    ):
        with pytest.raises(ConfigError, match="mean"):
            load(encoder, weights_of(source), tmp_path / "w.pth", **wrong)


WRONG = {
    "int8": lambda t: (t * 100).to(torch.int8),
    "bool": lambda t: t > 0,
    "complex64": lambda t: t.to(torch.complex64),
    "NaN": lambda t: t.clone().fill_(float("nan")),
    "infinite": lambda t: t.double().fill_(1e300),  # finite there, not in the encoder's precision
    "sparse": lambda t: t.to_sparse(),
    "quantised": lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
}


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:TypedStorage")
@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_is_no_floating_finite_weight_is_refused_by_name(spec, source, kind, suffix, tmp_path):
    if suffix == ".safetensors" and kind in ("sparse", "quantised"):
        pytest.skip("cannot be saved so")
    encoder = build_encoder(spec, "rgb")
    before = contents(encoder)
    state = weights_of(source)
    name = next(k for k in reversed(state) if k.endswith("weight"))
    path = tmp_path / f"w{suffix}"
    with pytest.raises(AssetError, match=f"{path}: {name} .*{kind}"):
        load(encoder, {**state, name: WRONG[kind](state[name])}, path)
    assert contents(encoder) == before


def test_half_precision_and_missing_counters_are_taken(pyramid_spec, tmp_path):
    source, encoder = (build_encoder(pyramid_spec, "rgb") for _ in range(2))
    state = {k: v.half() for k, v in weights_of(source).items() if v.is_floating_point()}
    load(encoder, state, tmp_path / "w.pth")
    assert all(torch.equal(encoder.model.state_dict()[k].half(), v) for k, v in state.items())


LAYOUTS = {
    "backbone.": (lambda s: {"model": s, "args": 3}, 'keys model, args; its "model" holds'),
    "module.encoder_q.": (lambda s: {"state_dict": s}, 'its "state_dict" holds'),
    "model.": (lambda s: s, "a dict of"),
    "teacher.": (lambda s: {"student": s, "teacher": s, "epoch": 3}, 'its "student" holds'),
}


@pytest.mark.parametrize("prefix", LAYOUTS)
def test_layouts_that_are_refused_are_told(spec, source, prefix, tmp_path):
    wrap, told = LAYOUTS[prefix]
    state = {prefix + k: v for k, v in weights_of(source).items()}
    with pytest.raises(AssetError) as caught:
        load(build_encoder(spec, "rgb"), wrap(state), tmp_path / "w.pth")
    message = str(caught.value)
    assert str(tmp_path / "w.pth") in message
    assert told in message
    assert f'{len(state)} tensors that begin with "{prefix}"' in message
    assert "none of the known layouts" in message or f'strips "{prefix.removeprefix("module.")}"' in message


def test_pickled_objects_are_told_with_a_way_out(spec, source, tmp_path):
    content = {"model": weights_of(source), "best": Fraction(1, 2)}
    with pytest.raises(
        AssetError, match=r"w\.pth holds pickled Python objects \(fractions\.Fraction\).*torch\.save"
    ):
        load(build_encoder(spec, "rgb"), content, tmp_path / "w.pth")


def test_the_arguments_of_a_training_are_no_obstacle(spec, source, tmp_path):
    encoder = build_encoder(spec, "rgb")
    load(encoder, {"model": weights_of(source), "args": argparse.Namespace(lr=1)}, tmp_path / "w.pth")
    assert all(torch.equal(encoder.model.state_dict()[k], v) for k, v in weights_of(source).items())


def test_tensors_without_a_place_are_refused_but_for_later_layers(pyramid_spec, vit_spec, tmp_path):
    whole = build_encoder(pyramid_spec, "rgb")
    short = {**pyramid_spec, "config": {**pyramid_spec["config"], "out_indices": [1, 2]}}
    load(build_encoder(short, "rgb"), weights_of(whole), tmp_path / "w.pth")
    for spec, name in (
        (pyramid_spec, "layer5.0.conv1.weight"),
        (vit_spec, "reg_token"),
        (vit_spec, "blocks.3.x"),
    ):
        encoder = build_encoder(spec, "rgb")
        with pytest.raises(AssetError, match=f"no place for 1 tensors .{name}"):
            load(encoder, {**weights_of(encoder), name: torch.ones(2)}, tmp_path / "w.pth")
    encoder = build_encoder(pyramid_spec, "rgb")
    (name, first), *_ = weights_of(encoder).items()
    with pytest.raises(AssetError, match="are the same weights"):
        load(encoder, {**weights_of(encoder), name.replace(".", "_"): first}, tmp_path / "w.pth")


def test_position_table_is_resized(vit_spec, tmp_path):
    large = {**vit_spec, "config": {**vit_spec["config"], "image_size": 64}}
    source = build_encoder(large, "rgb")
    encoder = build_encoder(vit_spec, "rgb")
    load(encoder, weights_of(source), tmp_path / "w.safetensors")
    x = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(encoder(x).tokens, source(x).tokens)


@pytest.mark.parametrize("grid", [(16, 12), (16, 8), (8, 2), (1, 3)])
@pytest.mark.parametrize("prefix", [0, 1])
def test_tables_of_other_grids_are_resized_as_declared(vit_spec, grid, prefix, tmp_path):
    encoder = build_encoder(vit_spec, "rgb")
    rows = torch.arange(grid[0]).view(-1, 1).expand(grid).reshape(1, -1, 1).expand(-1, -1, 32).float()
    state = {**weights_of(encoder), "pos_embed": torch.cat([torch.full((1, prefix, 32), 7.0), rows], 1)}
    load(encoder, state, tmp_path / "w.pth", grid=grid)
    table = encoder.model.pos_embed[0]
    assert table[0].tolist() == [7.0 * prefix] * 32
    patches = table[1:].view(4, 4, 32)
    torch.testing.assert_close(patches, patches[:, :1].expand(-1, 4, -1))  # rows stay rows
    if grid[0] > 1:
        assert (patches[1:, 0] > patches[:-1, 0]).all()


@pytest.mark.parametrize(
    "shape", [(1, 129, 32), (1, 18, 32), (1, 193, 32), (1, 0, 32), (17, 32), (2, 17, 32)]
)
def test_tables_that_cannot_be_understood_are_refused(vit_spec, shape, tmp_path):
    encoder = build_encoder(vit_spec, "rgb")
    with pytest.raises(AssetError, match=r"pos_embed of shape .* `grid`"):
        load(encoder, {**weights_of(encoder), "pos_embed": torch.ones(shape)}, tmp_path / "w.pth")
    with pytest.raises(AssetError, match=r"declared grid \[5, 5\]"):
        load(
            encoder, {**weights_of(encoder), "pos_embed": torch.ones(shape)}, tmp_path / "w.pth", grid=(5, 5)
        )


def test_loaded_tables_train_also_after_export(vit_spec, tmp_path):
    encoder = build_encoder(vit_spec, "rgb")
    load(encoder, weights_of(encoder), tmp_path / "w.pth")
    save_encoder(encoder, tmp_path / "out")
    for built in (encoder, load_encoder(tmp_path / "out"), load_encoder(tmp_path / "out", "depth")):
        assert built.model.pos_embed.requires_grad
        built(torch.rand(1, 3 if built.modality == "rgb" else 1, 32, 32)).pooled.sum().backward()
        assert built.model.pos_embed.grad.abs().sum() > 0


# ----- whatever a file holds, there is one kind of error, and the encoder is as it was

NAMES = ("model", "state_dict", "module", "pos_embed", "module.x", "head.weight", "args", "")
values = st.recursive(
    st.none()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(
        [
            torch.ones(()),
            torch.ones(0),
            torch.ones(1, 17, 32),
            torch.ones(3, dtype=torch.int8),
            torch.ones(2).to_sparse(),
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(NAMES) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def damaged(draw, state):
    """A state dict with some entries gone or replaced, perhaps within others."""
    content = dict(state)
    for name in draw(st.lists(st.sampled_from(sorted(state)), max_size=3)):
        content.pop(name, None)
    for name in draw(st.lists(st.sampled_from([*sorted(state), *NAMES]), min_size=1, max_size=3)):
        content[name] = draw(values)
    if draw(st.booleans()):
        content = {
            draw(st.sampled_from(NAMES) | st.integers()): content,
            **draw(st.just({}) | st.just({"epoch": 3})),
        }
    return content


SETTINGS = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def check_file(encoder, path):
    before = contents(encoder)
    try:
        load_pretrained(encoder, Source(file=str(path)))
    except AssetError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
        assert contents(encoder) == before


@SETTINGS
@given(data=st.data())
def test_damaged_state_dicts_raise_one_kind_of_error(data, vit_spec, pyramid_spec, tmp_path):
    encoder = build_encoder(data.draw(st.sampled_from([vit_spec, pyramid_spec])), "rgb")
    content = data.draw(damaged(weights_of(encoder)) | values)
    torch.save(content, tmp_path / "w.pth")
    check_file(encoder, tmp_path / "w.pth")


@SETTINGS
@given(data=st.data())
def test_damaged_files_raise_one_kind_of_error(data, pyramid_spec, tmp_path):
    encoder = build_encoder(pyramid_spec, "rgb")
    suffix = data.draw(st.sampled_from([".pth", ".safetensors", ".bin", ""]))
    path = tmp_path / f"w{suffix}"
    forms = [
        safetensors.torch.save(weights_of(encoder)),
        pickle.dumps(os.getcwd),
        pickle.dumps({"a": 1}),
        b"PK\x03\x04",
        b"",
    ]
    stream = io.BytesIO()
    torch.save(weights_of(encoder), stream)
    content = bytearray(data.draw(st.sampled_from([*forms, stream.getvalue()])))
    content = content[: data.draw(st.integers(0, len(content)))]
    for place in (
        data.draw(st.lists(st.integers(0, max(0, min(len(content), 400) - 1)), max_size=4)) if content else ()
    ):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    check_file(encoder, path)
