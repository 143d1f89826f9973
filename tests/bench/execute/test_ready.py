from __future__ import annotations

from typing import Any

import pytest

from bench.errors import ConfigError
from bench.execute.ready import check_adapters
from bench.grid.plan import expand
from bench.grid.request import Words, resolve


def test_data_that_cannot_be_are_named_before_the_first_step(small: Any) -> None:
    wrong = "+preset.pretrain.mixes.body.hide.lab_rgbd=[dpeth]"
    plan = expand(resolve(Words(methods="mae_body", tasks="parsing_rgb", overrides=(*small, wrong))))
    with pytest.raises(ConfigError) as caught:
        check_adapters(plan.steps, ())
    assert str(caught.value) == (
        'data set people: data.parts.hide: there is no "dpeth". Did you mean "depth"?'
    )


def test_encoders_of_all_modalities_are_checked(small: Any) -> None:
    plan = expand(resolve(Words(methods="cmc", tasks="parsing_rgb", overrides=small)))
    check_adapters(plan.steps, ())
    step = next(s for s in plan.steps if s.kind == "pretrain")
    step.spec["encoders"]["kp2d"]["config"] = {"width": "wide", "blocks": 4}
    with pytest.raises(ConfigError, match=r"semgcn\.width: 'wide' is not a whole number"):
        check_adapters([step], ())
