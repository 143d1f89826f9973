"""What a method gives back to the harness is looked at: slips are told in the words of `bench.api`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bench.adapters.loading import check_kind
from bench.api import Export, Method
from bench.errors import ConfigError, StepError
from bench.execute.pretraining import PretrainModule, save_method


class Slips(Method):
    def __init__(self, returned: Any) -> None:
        nn.Module.__init__(self)
        self.encoders = nn.ModuleDict()
        self.returned = returned

    def training_step(self, batch: Any, ctx: Any) -> Any:
        return self.returned

    def export(self) -> Any:
        return self.returned


class Unfinished(Method):
    def __init__(self) -> None:
        nn.Module.__init__(self)

    def trainin_step(self) -> None:
        """Look as if it were the one that is missing."""


@pytest.mark.parametrize(
    ("returned", "step", "export"),
    [
        (None, "step.. returns nothing, not a StepOutput", "export.. returns nothing, not an Export"),
        (torch.ones(()), "returns a Tensor, not a StepOutput", "returns a Tensor, not an Export"),
        (Export(encoders={"rgb": nn.Linear(1, 1)}),  # type: ignore[dict-item]
         "returns a Export", "gives a Linear for rgb, not an Encoder"),
    ],
)  # fmt: skip
def test_what_a_method_returns_of_another_kind_is_named(
    returned: Any, step: str, export: str, tmp_path: Path
) -> None:
    method = Slips(returned)
    with pytest.raises(StepError, match=step):
        PretrainModule(method).step({}, None)  # type: ignore[arg-type]  # which this step does not ask for
    with pytest.raises(StepError, match=export):
        save_method(method, tmp_path)


def test_a_class_without_what_its_kind_must_define_is_named() -> None:
    check_kind(Slips, Method, "a:Slips")
    with pytest.raises(ConfigError, match=r'a:U: .* no training_step\(\).* Did you mean "trainin_step"\?$'):
        check_kind(Unfinished, Method, "a:U")
    with pytest.raises(ConfigError, match=r"a:L is not a subclass of bench\.api\.Method$"):
        check_kind(nn.Linear, Method, "a:L")
