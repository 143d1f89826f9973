import numpy as np
import pytest

pytest.importorskip("anny")

from bench.bodymodels.build.export_body import build, write_npz
from bench.bodymodels.model import load_body_model, surrogate_body, surrogate_hand
from bench.bodymodels.surface import load_labels, surrogate_labels

pytestmark = pytest.mark.slow  # of a tool that is run by hand


def test_archives_depend_on_their_arrays_alone(tmp_path):
    arrays = {"a": np.arange(1000), "name": np.array("text"), "half": np.ones((3, 2), np.float16)}
    for name in ("one", "two"):
        write_npz(tmp_path / f"{name}.npz", arrays)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with np.load(tmp_path / "one.npz", allow_pickle=False) as archive:
        assert set(archive.files) == set(arrays)
        assert all(np.array_equal(archive[key], value) for key, value in arrays.items())


@pytest.mark.filterwarnings("ignore")
def test_rebuild_gives_the_shipped_body_and_hand(tmp_path):
    build(tmp_path, 1500)
    body, shipped = load_body_model(tmp_path / "surrogate_body.npz"), surrogate_body()
    assert np.array_equal(body.faces, shipped.faces)
    assert np.array_equal(body.hand_vertex_ids, shipped.hand_vertex_ids)
    np.testing.assert_allclose(body.v_template, shipped.v_template, atol=1e-5)
    np.testing.assert_allclose(body.shapedirs, shipped.shapedirs, atol=1e-4)
    labels, known = load_labels(tmp_path / "surrogate_labels.npz"), surrogate_labels()
    assert (labels.dp24 == known.dp24).mean() > 0.999
    assert (labels.p25 == known.p25).mean() > 0.999
    hand, known_hand = load_body_model(tmp_path / "surrogate_hand.npz"), surrogate_hand()
    assert np.array_equal(hand.faces, known_hand.faces) and hand.landmarks == known_hand.landmarks
    np.testing.assert_allclose(hand.v_template, known_hand.v_template, atol=1e-5)
    np.testing.assert_allclose(hand.weights, known_hand.weights, atol=1e-3)
