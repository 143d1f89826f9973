from __future__ import annotations

import torch

from bench.losses.foreground import foreground, foreground_mean


def scene() -> torch.Tensor:
    """A person 3 m away with an arm 0.5 m in front of it, before a wall; 30 rows by 24 columns."""
    depth = torch.full((1, 1, 30, 24), 5.0)
    depth[..., 4:28, 9:15] = 3.0
    depth[..., 10:12, 15:20] = 2.5
    depth[..., 0, :] = 0
    return depth


def test_the_person_stands_out() -> None:
    depth = scene()
    found = foreground(depth)
    assert torch.equal(found, (depth > 0) & (depth < 4))
    mean = foreground_mean(depth * found)
    torch.testing.assert_close(mean, torch.tensor([(144 * 3.0 + 10 * 2.5) / 154]))


def test_the_person_moves_with_the_depth_and_each_image_is_its_own() -> None:
    depth = torch.cat([scene(), torch.where(scene() > 0, scene() + 1.5, 0)])
    found = foreground(depth)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[:1], foreground(depth[:1]))
    means = foreground_mean(depth * found)
    torch.testing.assert_close(means[1] - means[0], torch.tensor(1.5))


def test_holes_and_empty_images() -> None:
    depth = scene()
    depth[..., 6:25, 6:18] = 0  # nothing measured in the middle
    assert foreground(depth).any()
    assert not foreground(depth)[depth == 0].any()
    empty = torch.zeros(2, 1, 30, 24)
    assert not foreground(empty).any()
    assert foreground_mean(empty).tolist() == [0, 0]
