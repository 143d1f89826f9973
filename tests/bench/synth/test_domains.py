from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import ConfigError
from bench.synth.actions import HELD_OUT
from bench.synth.domains import (
    BLOCK,
    DOMAINS,
    HELD_OUT_PATTERNS,
    SPLITS,
    clip_count,
    clip_ids,
    samples_per_clip,
)

PAIRS = [(name, split) for name, domain in DOMAINS.items() for split in domain.splits]


def test_the_promised_domains_exist():
    assert {"lab_rgbd", "wild_rgb", "d_dense", "d_parse", "d_parse_depth"} <= set(DOMAINS)
    for domain in DOMAINS.values():
        assert domain.splits in (("pretrain",), ("train", "val", "test"))
        assert set(domain.splits) <= set(SPLITS)
    assert len({domain.index for domain in DOMAINS.values()}) == len(DOMAINS)


def test_people_rooms_and_motions_are_disjoint_between_domains_and_splits():
    owner: dict[tuple[str, int], tuple[str, str]] = {}
    for pair in PAIRS:
        for clip in [*range(200), BLOCK - 1]:
            ids = clip_ids(*pair, clip)
            for kind in ("identity", "scene", "clip"):
                key = (kind, getattr(ids, kind))
                assert owner.setdefault(key, pair) == pair
                assert 0 <= key[1] < 2**31


@given(st.sampled_from(PAIRS), st.integers(0, 10**6))
def test_clip_count_is_the_smallest_that_suffices(pair, samples):
    clips, each = clip_count(*pair, samples), samples_per_clip(pair[0])
    assert clips * each >= samples > (clips - 1) * each


def test_people_and_rooms_take_turns():
    ids = [clip_ids("d_parse", "train", k) for k in range(50)]
    assert len({i.identity for i in ids}) == 24 and len({i.scene for i in ids}) == 7
    assert len({i.identity for i in (clip_ids("wild_rgb", "pretrain", k) for k in range(50))}) == 50


@pytest.mark.parametrize(("name", "split"), PAIRS)
def test_hold_outs_appear_in_test_splits_alone(name, split):
    domain = DOMAINS[name]
    held = (
        set(HELD_OUT) & set(domain.actions_in(split)),
        set(HELD_OUT_PATTERNS) & set(domain.patterns_in(split)),
    )
    assert held == ((set(HELD_OUT), set(HELD_OUT_PATTERNS)) if split == "test" else (set(), set()))
    assert domain.beta_limit_in(split) == pytest.approx(2.6 if split == "test" else 2.0)


def test_wrong_names_are_explained():
    with pytest.raises(ConfigError, match='Did you mean "lab_rgbd"'):
        samples_per_clip("lab_rgb")
    with pytest.raises(ConfigError, match="has no split"):
        clip_ids("lab_rgbd", "train", 0)
    with pytest.raises(ConfigError, match="outside"):
        clip_ids("d_dense", "val", BLOCK)
