"""Which patches of an image are hidden: first of all those of the person (arXiv:2311.09104, Sec. 3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.api import SINGLE_PROCESS, Draws, ProcessGroup


def human_patches(mask: Tensor, patch: int) -> Tensor:
    """Say which patches show a pixel of the person.

    Args:
        mask: silhouettes, (N, H, W) bool; `patch` divides H and W.
        patch: side, pixels.

    Returns:
        (N, L) bool, row by row.
    """
    return F.max_pool2d(mask[:, None].float(), patch).flatten(1) > 0


def visible_patches(patches: int, mask_ratio: float) -> int:
    """Return how many of some patches stay visible; of 196 at a ratio of 0.9 it is 20."""
    return round((1 - mask_ratio) * patches)


def draw_visible(
    human: Tensor,
    mask_ratio: float,
    draws: Draws,
    group: ProcessGroup = SINGLE_PROCESS,
    multiple: int = 1,
) -> Tensor:
    """Choose the visible patches: a share of those of the person, and background up to one common number.

    All samples keep as many as the one with the largest person, so that they make one batch; with too little
    background further patches of the person are kept. Without any background this is uniform masking.

    Args:
        human: which patches show the person, (N, L) bool.
        mask_ratio: share of these that is hidden.
        draws: of the step.
        group: processes whose rows make one batch.
        multiple: the common number is raised to a multiple of it, so that few different ones occur, but not
            beyond that of an image that is all person.

    Returns:
        (N, L) bool, with equally many in each row, at least one.
    """
    n, patches = human.shape
    persons = human.sum(1)  # (N,)
    kept = ((1 - mask_ratio) * persons.double()).round().long()
    most = int(group.all_gather(kept.amax(0, keepdim=True)).max())
    common = min(-(-max(most, 1) // multiple) * multiple, max(1, visible_patches(patches, mask_ratio)))
    kept = torch.minimum(kept.clamp(min=common - (patches - persons)), persons)
    noise = draws.rand(n, patches).to(human.device)
    person_rank = _ranks(noise, human)
    other_rank = _ranks(noise, ~human)
    return (human & (person_rank < kept[:, None])) | (~human & (other_rank < common - kept[:, None]))


def _ranks(noise: Tensor, chosen: Tensor) -> Tensor:
    """Order of each entry among the chosen ones of its row, by noise in [0, 1); the others come after all."""
    return torch.where(chosen, noise, 2.0).argsort(1).argsort(1)
