from __future__ import annotations

from typing import Any

import pytest

from bench.errors import ConfigError
from bench.grid.augment_spec import Spec, parse


def test_plain_data_becomes_typed() -> None:
    spec = parse({"zoom": [0.75, 1.25], "rotation": 30, "flip": True, "color_jitter": [0, 0, 0.4]})
    assert spec == Spec(zoom=(0.75, 1.25), rotation=30.0, flip=True, color_jitter=(0.0, 0.0, 0.4))
    assert parse({}) == Spec() and not Spec().warps and not Spec(flip=True).warps
    for option in ({"shift": 0.1}, {"rotation": 5}, {"zoom": [1, 1.1]}, {"crop_area": [0.5, 1]}):
        assert parse(option).warps
    assert not parse({"rotation": 30.0, "rotation_p": 0.0}).warps


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"rotations": 3}, r'unknown key "rotations"\. Did you mean "rotation"'),
        ({"zoom": [1.2, 0.8]}, "not a range"),
        ({"zoom": [0, 1]}, r"augment\.zoom: 0 is not a number above 0"),
        ({"zoom": 1.2}, "is not a list"),
        ({"rotation": "wide"}, "is not a number"),
        ({"crop_area": [0.5, 1.5]}, "exceeds"),
        ({"color_jitter": [0.4]}, "too short"),
        ({"color_jitter": [0.4, 0.4, 0.4, 0.6]}, "more than half a circle"),
        ({"gray_p": 1.2}, r"augment\.gray_p: 1\.2"),
        ({"blur_p": 0.5, "blur_sigma": [2.0, 0.1]}, "not a range"),
        ({"shift": -0.1}, r"-0\.1 is not a number of at least 0"),
        ({"flip": "false"}, "is not true or false"),
        ({"distribution": "gauss"}, 'unknown "gauss"'),
    ],
)
def test_wrong_specs_are_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(spec)
