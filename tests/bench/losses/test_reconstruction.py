import pytest
import torch

from bench.losses.reconstruction import (
    completed_patches,
    normalised_patches,
    patch_loss,
    patchify,
    unpatchify,
)


def test_patchify_order():
    images = torch.randn(2, 3, 24, 16)
    patches = patchify(images, 8)
    assert patches.shape == (2, 6, 192)
    # third patch: rows 8..15, columns 0..7; its pixel (1, 2), channel 1
    assert patches[0, 2, (1 * 8 + 2) * 3 + 1] == images[0, 1, 9, 2]
    for place in range(6):
        row, column = 8 * (place // 2), 8 * (place % 2)
        block = images[:, :, row : row + 8, column : column + 8]
        assert torch.equal(patches[:, place], block.permute(0, 2, 3, 1).flatten(1))


def test_predicting_zero_costs_767_768_on_texture_and_nothing_on_constant_patches():
    patches = patchify(torch.rand(2, 3, 32, 32), 16)
    hidden = torch.ones(2, 4, dtype=torch.bool)
    target = normalised_patches(patches)
    assert patch_loss(torch.zeros_like(target), target, hidden).item() == pytest.approx(767 / 768, abs=1e-4)
    flat = normalised_patches(torch.full_like(patches, 0.3))
    assert patch_loss(torch.zeros_like(flat), flat, hidden).item() == pytest.approx(0, abs=1e-6)


def test_visible_patches_do_not_count():
    predicted, target = torch.randn(2, 5, 12), torch.randn(2, 5, 12)
    hidden = torch.tensor([[1, 0, 1, 0, 0], [0, 1, 1, 1, 0]]).bool()
    loss = patch_loss(predicted, target, hidden)
    torch.testing.assert_close(loss, (predicted - target).square()[hidden].mean())
    predicted[~hidden] = 99.0
    assert torch.equal(patch_loss(predicted, target, hidden), loss)


def test_gaps_are_filled_in_the_colours_of_the_target():
    images = torch.rand(2, 3, 24, 16)
    target = patchify(images, 8)
    assert torch.equal(unpatchify(target, 8, (3, 2)), images)
    hidden = torch.tensor([[1, 0, 1, 0, 0, 1], [0, 1, 1, 1, 0, 0]]).bool()
    perfect = completed_patches(normalised_patches(target), target, hidden, normalised=True)
    torch.testing.assert_close(perfect, target, rtol=0, atol=1e-5)
    nothing = completed_patches(torch.zeros_like(target), target, hidden, normalised=False)
    assert (nothing[hidden] == 0).all() and torch.equal(nothing[~hidden], target[~hidden])
