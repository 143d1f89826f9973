from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.api import Draws, ProcessGroup
from bench.losses.masking import draw_visible, human_patches, visible_patches


def draws(seed: int = 0, part: int = 0, parts: int = 1) -> Draws:
    return Draws(generator=torch.Generator().manual_seed(seed), part=part, parts=parts)


def naive(human: Tensor, ratio: float, noise: Tensor, multiple: int) -> Tensor:
    """Fill each sample by hand: its own share of the person, then background, then more of the person."""
    n, patches = human.shape
    wanted = [round((1 - ratio) * int(row.sum())) for row in human]
    limit = max(1, round((1 - ratio) * patches))
    common = max([*wanted, 1])
    while common % multiple:
        common += 1
    common = min(common, limit)
    visible = torch.zeros_like(human)
    for i in range(n):
        order = sorted(range(patches), key=lambda p: float(noise[i, p]))
        person = [p for p in order if human[i, p]]
        around = [p for p in order if not human[i, p]]
        chosen = person[: wanted[i]]
        chosen += around[: common - len(chosen)]
        chosen += person[wanted[i] :][: common - len(chosen)]
        visible[i, chosen] = True
    return visible


@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 5),
    patches=st.sampled_from([4, 36, 196]),
    ratio=st.sampled_from([0.5, 0.6, 0.75, 0.9]),
    multiple=st.sampled_from([1, 8]),
)
@settings(deadline=None, max_examples=80)
def test_every_row_keeps_the_same_number_and_its_share_of_the_person(
    seed: int, n: int, patches: int, ratio: float, multiple: int
) -> None:
    rng = np.random.default_rng(seed)
    shares = rng.choice([0.0, 0.05, 0.3, 0.6, 0.95, 1.0], n)
    human = torch.from_numpy(rng.random((n, patches)) < shares[:, None])
    visible = draw_visible(human, ratio, draws(seed), multiple=multiple)
    counts = visible.sum(1)
    common = int(counts[0])
    persons = human.sum(1)
    kept = torch.tensor([round((1 - ratio) * int(p)) for p in persons])
    assert (counts == common).all() and 1 <= common <= max(1, visible_patches(patches, ratio))
    assert common >= kept.max()
    shown = (visible & human).sum(1)
    enough = patches - persons >= common - kept  # background to fill up with
    assert (shown[enough] == kept[enough]).all() and (shown[~enough] > kept[~enough]).all()
    noise = draws(seed).rand(n, patches)
    assert torch.equal(visible, naive(human, ratio, noise, multiple))


@pytest.mark.parametrize(("ratio", "visible"), [(0.75, 49), (0.9, 20)])
@pytest.mark.parametrize("multiple", [1, 8])
def test_all_person_is_uniform_masking(ratio: float, visible: int, multiple: int) -> None:
    human = torch.ones(400, 196, dtype=torch.bool)
    drawn = draw_visible(human, ratio, draws(), multiple=multiple)
    assert (drawn.sum(1) == visible).all() and visible_patches(196, ratio) == visible
    share = drawn.float().mean(0)
    assert (share - visible / 196).abs().max() < 0.1


def test_an_empty_silhouette_shows_background() -> None:
    human = torch.zeros(3, 36, dtype=torch.bool)
    assert (draw_visible(human, 0.75, draws()).sum(1) == 1).all()  # something must be encoded
    human[0, :20] = True
    drawn = draw_visible(human, 0.75, draws())
    assert (drawn.sum(1) == 5).all() and drawn[0, :20].sum() == 5


def test_processes_keep_as_many_as_one_would() -> None:
    class Two(ProcessGroup):
        world_size = 2

        def __init__(self, other: Tensor) -> None:
            self.other = other

        def all_gather(self, x: Tensor) -> Tensor:
            return torch.cat([x, self.other])

    human = torch.rand(6, 36, generator=torch.Generator().manual_seed(1)) < torch.linspace(0, 0.9, 6)[:, None]
    whole = draw_visible(human, 0.75, draws())
    most = [((1 - 0.75) * part.sum(1).double()).round().long().max()[None] for part in human.chunk(2)]
    parts = [
        draw_visible(rows, 0.75, draws(0, k, 2), Two(most[1 - k])) for k, rows in enumerate(human.chunk(2))
    ]
    assert torch.equal(torch.cat(parts), whole)


def test_one_pixel_makes_a_patch_human() -> None:
    mask = torch.zeros(2, 16, 24, dtype=torch.bool)
    mask[0, 15, 8] = mask[1, 0, 23] = True
    assert human_patches(mask, 8).nonzero().tolist() == [[0, 4], [1, 2]]
