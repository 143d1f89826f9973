from __future__ import annotations

import torch

from bench.bodymodels.mean_pose import mean_body
from bench.bodymodels.rotations_torch import matrix_from_6d
from bench.heads.regressor import BodyRegressor, IterativeRegressor


def test_a_fresh_head_says_the_mean_body() -> None:
    torch.manual_seed(0)
    head = BodyRegressor(96, mean_body()).eval()
    out = head.regress(torch.randn(4, 96))
    assert out["pose"].shape == (4, 24, 6) and out["betas"].shape == (4, 10) and out["camera"].shape == (4, 3)
    wanted = torch.tensor(mean_body().rotations, dtype=torch.float32).expand(4, 24, 3, 3)
    torch.testing.assert_close(matrix_from_6d(out["pose"]), wanted, atol=0.1, rtol=0)
    torch.testing.assert_close(out["camera"], torch.tensor([1.4, 0, 0]).expand(4, 3), atol=0.1, rtol=0)


def test_iterations_add_residuals_of_the_state_before() -> None:
    torch.manual_seed(0)
    head = IterativeRegressor(3, torch.tensor([1.0, 2.0]), (1, 1), hidden=4, iterations=2, dropout=0.0)
    x, state = torch.randn(5, 3), torch.tensor([1.0, 2.0]).expand(5, 2)
    first, _, second, _ = head.layers
    for _ in range(2):
        seen = second(first(torch.cat([x, state], 1)))
        state = state + torch.cat([head.residuals[0](seen), head.residuals[1](seen)], 1)
    torch.testing.assert_close(head(x), state)
    assert not torch.allclose(state, torch.tensor([1.0, 2.0]))
