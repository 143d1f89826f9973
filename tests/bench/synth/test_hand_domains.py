from __future__ import annotations

from collections import Counter

import pytest

from bench.errors import ConfigError
from bench.synth import domains, groups
from bench.synth.domains import BLOCK, HELD_OUT_PATTERNS, SPLITS
from bench.synth.hand_domains import (
    CLASSES,
    SOURCES,
    clip_class,
    clip_count,
    clip_ids,
    samples_per_clip,
    source_named,
)

PAIRS = [(name, split) for name, source in SOURCES.items() for split in source.domain.splits]


def test_the_promised_sources_exist():
    assert list(SOURCES) == ["lab_hands", "d_hand", "d_gesture", "d_grasp"]
    assert SOURCES["lab_hands"].domain.splits == ("pretrain",)
    assert (samples_per_clip("lab_hands"), samples_per_clip("d_hand")) == (16, 2)


def test_classes_are_those_of_the_tables_of_poses():
    from bench.synth.grasping import GRASPS
    from bench.synth.hand_poses import GESTURES

    assert {"free": 0, "gesture": len(GESTURES), "grasp": len(GRASPS)} == CLASSES


def test_users_rooms_and_clips_are_disjoint_between_sources_splits_and_bodies():
    owner: dict[tuple[str, int], tuple[str, str]] = {}
    bodies = {domain.index for domain in domains.DOMAINS.values()}
    bodies |= {domain.index for domain in groups.GROUPS.values()}
    for name, split in PAIRS:
        assert SOURCES[name].domain.index not in bodies
        for clip in [*range(700), BLOCK - 1]:
            ids = clip_ids(name, split, clip)
            assert ids.block == SOURCES[name].domain.index * len(SPLITS) + SPLITS.index(split)
            for kind in ("identity", "scene", "clip"):
                number = getattr(ids, kind)
                assert owner.setdefault((kind, number), (name, split)) == (name, split)
                assert number // BLOCK == ids.block and 0 <= number < 2**31


@pytest.mark.parametrize("name", ["d_gesture", "d_grasp"])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_classes_are_balanced_and_every_user_shows_every_class_once(name, split):
    classes, users = SOURCES[name].classes, SOURCES[name].domain.identities[split]
    clips = range(classes * max(users, 6))
    shown = [(clip_class(name, k), clip_ids(name, split, k).identity) for k in clips]
    assert len(set(shown[: classes * users])) == classes * users == len(set(shown))
    assert len({user for _, user in shown}) == users
    for rounds in (1, 5):
        assert set(Counter(label for label, _ in shown[: rounds * classes]).values()) == {rounds}
        run = Counter(label for label, _ in shown[7 : 7 + rounds * classes])
        assert max(run.values()) <= rounds + 1 and sum(run.values()) == rounds * classes
    for label in range(classes):  # users of a class repeat when all have had their turn
        turns = [user for own, user in shown[: 3 * classes] if own == label]
        assert len(set(turns)) == min(3, users)


@pytest.mark.parametrize("name", ["d_gesture", "d_grasp"])
@pytest.mark.parametrize("step", [2, 3, 5, 10, 20])
def test_label_shares_show_all_classes_about_equally(name, step):
    classes = SOURCES[name].classes
    shown = Counter(clip_class(name, k) for k in range(0, 20 * step * classes, step))
    assert len(shown) == classes and min(shown.values()) >= 14 and max(shown.values()) <= 26


def test_free_sources_have_no_classes():
    assert {clip_class("d_hand", k) for k in range(20)} == {-1} == {clip_class("lab_hands", 5)}


@pytest.mark.parametrize(("name", "split"), PAIRS)
def test_patterns_that_are_held_out_appear_in_test_splits_alone(name, split):
    held = set(HELD_OUT_PATTERNS) & set(SOURCES[name].domain.patterns_in(split))
    assert held == (set(HELD_OUT_PATTERNS) if split == "test" else set())


@pytest.mark.parametrize("samples", [0, 1, 15, 16, 17, 1000])
def test_clip_count_is_the_smallest_that_suffices(samples):
    clips = clip_count("lab_hands", "pretrain", samples)
    assert 16 * clips >= samples > 16 * (clips - 1)


def test_what_there_is_not_is_refused_in_one_line():
    with pytest.raises(ConfigError, match=r'unknown source of hands "d_hands"[.] Did you mean "d_hand"'):
        source_named("d_hands")
    with pytest.raises(ConfigError, match='source "lab_hands" has no split "test": it has pretrain'):
        clip_ids("lab_hands", "test", 0)
    with pytest.raises(ConfigError, match=f"clip {BLOCK} of d_hand/val is outside"):
        clip_ids("d_hand", "val", BLOCK)
