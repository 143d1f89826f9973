from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bench.errors import ConfigError
from bench.execute.cluster import EXAMPLE, Cluster, load_cluster

ROOT = Path(__file__).resolve().parents[3]


def test_the_example_names_every_value_and_loads() -> None:
    found = load_cluster(str(ROOT / EXAMPLE))
    body = yaml.safe_load((ROOT / EXAMPLE).read_text())
    assert list(body) == list(Cluster.__struct_fields__)
    assert found.partition == "gpu" and found.setup == ("module load cuda",) and found.array_limit == 1000


def test_without_a_file_there_are_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert load_cluster("") == Cluster()
    (tmp_path / "bodybench").mkdir()
    for empty in ("", "# account: mine\n", "{}"):
        (tmp_path / "bodybench/site.yaml").write_text(empty)
        assert load_cluster("") == Cluster()
    (tmp_path / "bodybench/site.yaml").write_text("account: mine\n")
    assert load_cluster("") == Cluster(account="mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partitoin: gpu", 'unknown key "partitoin". Did you mean "partition"?'),
        ("account: 12", "account: 12 is not text; quote it"),
        ("array_limit: 0", "array_limit: 0 is not a whole number of at least 1"),
        ("setup: module load cuda", "setup: 'module load cuda' is not a list"),
        ("sbatch: [a]", "sbatch: ['a'] is not a section"),
        ("- a", "holds no section of keys"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_cluster(str(path))
    assert message in str(caught.value) and str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"--site nowhere\.yaml: no such file"):
        load_cluster("nowhere.yaml")
