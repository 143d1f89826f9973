from __future__ import annotations

import pytest
import torch

from bench.losses.heatmaps import decode, gaussian_targets, heatmap_bce, heatmap_mse, trainable

SIZE, CELLS = (256, 192), (64, 48)  # stride 4


def joints(n: int = 400, border: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    inner = torch.tensor(SIZE) - 2 * border
    return border + torch.rand(n, 1, 2, generator=generator) * inner


def error(method: str, at: torch.Tensor) -> torch.Tensor:
    """Per axis, in cells."""
    found, _ = decode(gaussian_targets(at, CELLS, SIZE), SIZE, method)  # type: ignore[arg-type]
    return (found - at).abs() / 4


def test_targets_peak_at_the_joint() -> None:
    at = torch.tensor([[[10.0, 22.0]]])  # middle of cell (2, 5)
    maps = gaussian_targets(at, CELLS, SIZE, sigma=2)
    assert maps[0, 0, 2, 5] == 1
    assert maps[0, 0, 4, 5] == pytest.approx(torch.exp(torch.tensor(-0.5)).item())
    assert maps[0, 0, 4, 7] == pytest.approx(torch.exp(torch.tensor(-1.0)).item())


def test_targets_of_maps_with_another_ratio_per_axis() -> None:
    at = torch.tensor([[[3.5, 33.0]]])
    maps = gaussian_targets(at, (14, 8), (49, 88), sigma=1)  # cells of 3.5 x 11 pixels
    assert divmod(int(maps[0, 0].argmax()), 8) in [(0, 2), (0, 3), (1, 2), (1, 3)]
    torch.testing.assert_close(maps[0, 0, 0], maps[0, 0, 1])
    torch.testing.assert_close(maps[0, 0, :, 2], maps[0, 0, :, 3])


def test_quarter_decoding_is_within_a_quarter_of_a_cell() -> None:
    found = error("quarter", joints(border=4.0))
    assert found.max() < 0.2501
    assert 0.1 < found.mean() < 0.15  # uniform up to a quarter: 0.125
    assert error("quarter", joints()).max() < 0.5001  # cells at the border stay where they are


def test_dark_decoding_is_almost_exact() -> None:
    found = error("dark", joints(border=28.0))
    assert found.max() < 0.02
    near = error("dark", joints(border=4.0))  # where the blur meets the border
    assert near.max() < 1
    assert near.mean() < 0.05


def test_decoding_gives_the_height_and_ignores_other_maps() -> None:
    maps = torch.zeros(1, 2, 8, 8)
    maps[0, 0, 2, 3], maps[0, 0, 2, 4], maps[0, 0, 1, 3] = 0.7, 0.3, 0.1
    maps[0, 1, 0, 7] = -0.0
    found, peak = decode(maps, (8, 16))
    assert peak.tolist() == [[pytest.approx(0.7), 0.0]]
    assert found[0, 0].tolist() == [2.25, 2 * 3.75]


@pytest.mark.parametrize("method", ["quarter", "dark"])
def test_flat_and_negative_maps_give_finite_positions(method: str) -> None:
    maps = torch.stack([torch.zeros(3, 6, 6), torch.full((3, 6, 6), -2.0), torch.ones(3, 6, 6)])
    found, _ = decode(maps, (24, 24), method)  # type: ignore[arg-type]
    assert torch.isfinite(found).all()
    assert ((found >= 0) & (found <= 24)).all()


@pytest.mark.parametrize("loss", [heatmap_mse, heatmap_bce])
def test_only_labelled_joints_count(loss) -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 4, 6, 5, generator=generator, requires_grad=True)
    targets = torch.rand(3, 4, 6, 5, generator=generator)
    labelled = torch.rand(3, 4, generator=generator) < 0.5
    value = loss(maps, targets, labelled)
    (slope,) = torch.autograd.grad(value, maps)
    assert not slope[~labelled].any()
    assert slope[labelled].any()
    one = torch.ones(1, 1, dtype=torch.bool)
    each = [loss(maps[n, j][None, None], targets[n, j][None, None], one) for n, j in labelled.nonzero()]
    torch.testing.assert_close(value, torch.stack(each).mean())
    empty = loss(maps, targets, torch.zeros_like(labelled))
    assert empty == 0
    empty.backward()


def test_joints_outside_the_picture_are_not_taught() -> None:
    places = [(0, 0, 2), (0, 7.9, 1), (3, 3, 0), (4, 3, 2), (-0.1, 3, 2), (3, 8, 2)]
    assert trainable(torch.tensor([places]), (4, 8)).tolist() == [[True, True] + [False] * 4]


def test_losses_by_hand() -> None:
    maps, targets = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
    seen = torch.ones(1, 1, dtype=torch.bool)
    assert heatmap_mse(maps, targets, seen) == 0.5
    softplus = torch.nn.functional.softplus(torch.tensor([1.0, 0.0])).mean()
    assert heatmap_bce(maps, targets, seen) == pytest.approx(softplus.item())
