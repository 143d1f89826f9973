import pytest
import torch

from bench.errors import StepError
from methods.scratch import Scratch, ScratchConfig


def test_exports_the_encoders_as_they_are(make, encoders, batch, context):
    own = encoders("rgb", "depth")
    method = make(Scratch, ScratchConfig(), own)
    assert method.export().encoders == own
    fresh = encoders("rgb", "depth")
    for m, encoder in method.export().encoders.items():
        assert all(
            torch.equal(a, b) for a, b in zip(encoder.parameters(), fresh[m].parameters(), strict=True)
        )
    assert method.initialise() == {}
    with pytest.raises(StepError, match="budget_share 0"):
        method.training_step(batch, context())


def test_official_initialisation_has_its_width(make, encoders):
    method = make(Scratch, ScratchConfig(init_std=0.001), encoders("rgb"))
    weights = torch.cat([m.weight.flatten() for m in method.modules() if isinstance(m, torch.nn.Conv2d)])
    assert weights.std().item() == pytest.approx(0.001, rel=0.05)
