import os
import pickle
import sys
import types

import numpy as np
import pytest
from scipy import sparse

from bench.bodymodels.unpickling import load_pickled_arrays
from bench.errors import AssetError


class Payload:
    """Pickles to a call of `function(*arguments)`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def write(path, content, protocol=2):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_reads_plain_and_sparse_arrays(tmp_path, protocol):
    rng = np.random.default_rng(0)
    matrix = sparse.random(5, 7, 0.4, random_state=rng, format="csc")
    content = {
        "single": rng.normal(size=(3, 2)).astype(np.float32),
        "fortran": np.asfortranarray(rng.normal(size=(3, 4))),
        "whole": np.arange(6, dtype=np.uint32),
        "csc": matrix,
        "csr": matrix.tocsr(),
        "coo": matrix.tocoo(),
        "text": "neutral",
        "number": np.float64(2.5),
    }
    found = load_pickled_arrays(write(tmp_path / "a.pkl", content, protocol))
    for key in ("single", "fortran", "whole"):
        assert np.array_equal(found[key], content[key])
        assert found[key].dtype == content[key].dtype
    for key in ("csc", "csr", "coo"):
        np.testing.assert_array_equal(found[key].toarray(), matrix.toarray())
    assert found["text"] == "neutral"
    assert found["number"] == 2.5


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (os.system, ("touch {}",)),
        (eval, ("open('{}', 'w')",)),
        (exec, ("open('{}', 'w')",)),
        (getattr, (np.ndarray, "tofile")),
        (__import__, ("os",)),
        (np.load, ("{}",)),
        (np.frombuffer, (b"12345678",)),
    ],
)
def test_refuses_everything_else_and_runs_nothing(tmp_path, function, arguments):
    mark = tmp_path / "mark"
    filled = tuple(a.format(mark) if isinstance(a, str) else a for a in arguments)
    path = write(tmp_path / "bad.pkl", {"v_template": Payload(function, *filled)})
    with pytest.raises(AssetError, match="not a pickle of plain arrays"):
        load_pickled_arrays(path)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_numpy_names_outside_the_list_are_refused(tmp_path, name):
    path = tmp_path / "bad.pkl"
    path.write_bytes(f"c{name}\nfromfile\n(Vx\ntR.".encode())
    with pytest.raises(AssetError, match="fromfile is not an array"):
        load_pickled_arrays(path)


def test_dotted_names_do_not_reach_further(tmp_path):
    path = tmp_path / "bad.pkl"
    name = b"ndarray.tofile"
    body = b"\x8c\x05numpy" + b"\x8c" + bytes([len(name)]) + name + b"\x93."
    path.write_bytes(b"\x80\x04" + body)
    with pytest.raises(AssetError, match=r"ndarray\.tofile is not an array"):
        load_pickled_arrays(path)


@pytest.fixture
def autodiff(monkeypatch):
    """A library like the one of the original files; not importable when the pickle is read."""
    package, module = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch")
    ran = []

    class Ch:
        def __setstate__(self, state):
            ran.append(state)

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    module.Ch = Ch
    monkeypatch.setitem(sys.modules, "chumpy", package)
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    return Ch, ran


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_autodiff_objects_become_their_arrays_without_their_code(tmp_path, autodiff, monkeypatch, protocol):
    kind, ran = autodiff
    values = np.arange(12.0).reshape(4, 3)
    whole, part = kind(), kind()
    whole.__dict__.update(x=values, _dirty_vars=set(), _itr=None)
    part.__dict__.update(a=whole, idxs=np.array([0, 3, 6]), preferred_shape=(3, 1))
    path = write(tmp_path / "old.pkl", {"v_template": whole, "shapedirs": part}, protocol)
    for name in ("chumpy", "chumpy.ch"):
        monkeypatch.delitem(sys.modules, name)
    found = load_pickled_arrays(path)
    assert ran == []
    assert np.array_equal(found["v_template"], values)
    assert np.array_equal(found["shapedirs"], [[0.0], [3.0], [6.0]])


def test_an_autodiff_object_without_array_is_an_error(tmp_path, autodiff):
    empty = autodiff[0]()
    empty.__dict__.update(label="lazy")
    with pytest.raises(AssetError, match="v_template is an autodiff object"):
        load_pickled_arrays(write(tmp_path / "lazy.pkl", {"v_template": empty}))


def test_python_2_pickles(tmp_path):
    """Written as Python 2 wrote them: numpy.core names, byte strings for keys and data."""
    path = tmp_path / "py2.pkl"
    data = np.array([1.5, -2.0]).tobytes()
    body = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\nt"
    body += b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
    body += b"U" + bytes([len(data)]) + data + b"tb"
    path.write_bytes(b"(dp0\nS'v_template'\n" + body + b"s.")
    np.testing.assert_array_equal(load_pickled_arrays(path)["v_template"], [1.5, -2.0])


def test_damaged_and_foreign_pickles(tmp_path):
    path = tmp_path / "cut.pkl"
    path.write_bytes(pickle.dumps({"a": np.zeros(100)})[:40])
    with pytest.raises(AssetError, match="not a pickle"):
        load_pickled_arrays(path)
    with pytest.raises(AssetError, match="holds a list"):
        load_pickled_arrays(write(tmp_path / "list.pkl", [1, 2]))
