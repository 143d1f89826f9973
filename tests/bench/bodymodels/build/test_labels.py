import numpy as np
import pytest

from bench.bodymodels.build.labels import chart_parts, number_both_sides, parsing_parts, right_half, tidy
from bench.bodymodels.model import surrogate_body
from bench.bodymodels.surface import DP24_NAMES, P25_NAMES, surrogate_labels

pytestmark = pytest.mark.slow  # of a tool that is run by hand

STRIP = np.array([[max(i - 1, 0), min(i + 1, 9), i] for i in range(10)])  # faces in a row


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("aaaabbbbbb", "aaaabbbbbb"),
        ("aabaabbbbb", "aaaaabbbbb"),  # a speck
        ("aaaabbaaaa", "aaaabbbbbb"),  # of two equal pieces the first stays
        ("abbbbbbbaa", "bbbbbbbbaa"),  # the smaller of two pieces goes
    ],
)
def test_tidy_leaves_one_piece_per_part(before, after):
    assert "".join(tidy(np.array(list(before)), STRIP)) == after


@pytest.fixture(scope="module")
def half():
    body = surrogate_body()
    vertices, faces = body.v_template.astype(np.float64), body.faces.astype(np.int64)
    joints = body.joint_regressor @ vertices
    return right_half(vertices, faces, body.mirror.astype(np.int64), body.weights.astype(np.float64), joints)


def test_the_half_is_closed_on_itself(half):
    assert len(half.faces) == 6888
    assert half.neighbours.shape == (6888, 3)
    across = half.neighbours == np.arange(6888)[:, None]  # mid-plane edges
    assert across.sum() == 140
    there = half.neighbours[half.neighbours]  # neighbours know each other
    assert (there == np.arange(6888)[:, None, None]).any(2).all()


@pytest.mark.parametrize(
    ("rule", "table", "names"), [(chart_parts, "dp24", DP24_NAMES), (parsing_parts, "p25", P25_NAMES)]
)
def test_rules_reproduce_the_shipped_tables(half, rule, table, names):
    labels = surrogate_labels()
    ids = number_both_sides(tidy(rule(half), half.neighbours), half, labels.face_mirror, names)
    assert (ids == getattr(labels, table)).mean() > 0.995  # stored weights are rounded
