from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.errors import ConfigError
from bench.grid import registry
from bench.grid.registry import config_dirs, load, names, pick
from bench.grid.request import Words, resolve


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_names_come_from_all_folders_in_order(configs: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    extra = write(own / "method" / "mine.yaml", "summary: mine")
    dirs = config_dirs([str(own), str(own)])
    assert dirs == [configs, own]
    found = names("method", dirs)
    assert list(found) == ["cmc", "hcmoco", "scratch", "mine"] and found["mine"] == extra


def test_a_name_is_defined_once(configs: Path, tmp_path: Path) -> None:
    write(tmp_path / "own" / "method" / "cmc.yaml", "summary: another")
    with pytest.raises(ConfigError, match=r'method "cmc" is defined twice: .*configs.* and .*own'):
        names("method", config_dirs([str(tmp_path / "own")]))


def test_hidden_files_are_no_adapters(configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    write(own / "method" / "mine.yaml", "summary: mine")
    write(own / "method" / "._mine.yaml", "\x00")
    (own / "method" / ".#mine.yaml").symlink_to("someone@somewhere.1:2")  # an editor's lock: leads nowhere
    assert list(names("method", [own])) == ["mine"]
    assert resolve(Words(methods="cmc", tasks="densepose", config_dirs=(str(own),))).config_dirs == (
        str(own),
    )
    write(tmp_path / "here" / "task" / ".#x.yaml", "")
    monkeypatch.chdir(tmp_path / "here")
    assert config_dirs() == [configs]


def test_a_yaml_that_ends_otherwise_is_named(
    configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "own" / "method" / "mine.yml", "summary: mine")
    said = f"{path}: only files in .yaml are read; call it mine.yaml"
    with pytest.raises(ConfigError) as caught:
        names("method", config_dirs([str(tmp_path / "own")]))
    assert str(caught.value) == said
    monkeypatch.chdir(tmp_path / "own")
    with pytest.raises(ConfigError, match=r"call it mine\.yaml"):
        config_dirs()


def test_config_dirs_must_exist_and_hold_a_group(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--config-dir .*none: no such folder"):
        config_dirs([str(tmp_path / "none")])
    with pytest.raises(ConfigError, match=r"holds none of the folders method, task.*put method/<name>\.yaml"):
        config_dirs([str(tmp_path)])


def test_installed_packages_add_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "their_configs" / "task" / "theirs.yaml", "summary: theirs")
    monkeypatch.syspath_prepend(tmp_path)
    points = [
        SimpleNamespace(value=v)
        for v in ("their_configs", "configs", "their_configs", "package_that_is_gone")
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    assert registry.config_dirs() == [registry.BUILT_IN, tmp_path / "their_configs"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("b,a", ["b", "a"]),
        (" a , a,", ["a"]),
        ("*", ["a", "ab", "b"]),
        ("b,a*", ["b", "a", "ab"]),
        ("[ab]", ["a", "b"]),
    ],
)
def test_lists_and_globs(text: str, wanted: list[str]) -> None:
    assert pick(text, "task", dict.fromkeys(("b", "ab", "a"), Path())) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("denspose", r'unknown task "denspose"\. Did you mean "densepose"\?'),
        ("densepose,q*", r'unknown task "q\*"'),
        (" ,", r"no task asked for \(--tasks\)"),
    ],
)
def test_unknown_names(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pick(text, "task", {"densepose": Path(), "parsing": Path()})


def test_numbers_are_read_as_numbers_and_nothing_is_shared(tmp_path: Path) -> None:
    text = "a: &x {lr: 1e-4, n: 1, s: 1.0, v: '1.5', w: 1.2.3, e: .5}\nb: *x\nc: [1.0e-3, -2, +3.5, on]"
    body = load(write(tmp_path / "x.yaml", text), "method")
    assert body["a"] == {"lr": 1e-4, "n": 1, "s": 1.0, "v": "1.5", "w": "1.2.3", "e": 0.5}
    assert [type(v) for v in body["a"].values()] == [float, int, float, str, str, float]
    assert body["c"] == [0.001, -2, 3.5, True]
    assert body["a"] == body["b"] and body["a"] is not body["b"]


def test_presets_may_stand_below_their_group(tmp_path: Path) -> None:
    for text in ("preset:\n  size: 3", "size: 3"):
        assert load(write(tmp_path / "x.yaml", text), "preset") == {"size": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "cannot be read"),
        ("a: 1\na: 2", 'key "a" stands twice'),
        ("\x00", "cannot be read"),
        ("", "holds no section"),
        ("- 1", "holds no section"),
        ("a: .nan", r"a: nan is not a finite number"),
        ("a: {b: [2024-01-01]}", r"a\.b: .* is neither text nor number"),
        ("a: !!python/object/apply:os.getcwd []", "cannot be read"),
    ],
)
def test_files_that_are_not_plain_data_are_named(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "x.yaml", text)
    with pytest.raises(ConfigError, match=message) as caught:
        load(path, "method")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.yaml", "method")


def test_the_projects_yamls_are_read_as_hydra_reads_them() -> None:
    """YAMLs are loaded with PyYAML's C parser because Hydra takes too long; the content is the same."""
    from omegaconf import OmegaConf

    files = sorted(registry.BUILT_IN.glob("*/*.yaml"))
    assert len(files) > 15
    for path in files:
        slow = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
        assert isinstance(slow, dict)
        group = path.parent.name
        assert load(path, group) == (slow["preset"] if group == "preset" else slow), path
