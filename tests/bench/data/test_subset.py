from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data import subset
from bench.errors import ConfigError, DataError

fractions = st.fractions(min_value=Fraction(1, 200), max_value=1, max_denominator=300)
counts = st.integers(1, 400)


def ids_of(count: int) -> list[str]:
    return [f"set/train/{i:05d}" for i in range(count)]


@pytest.mark.parametrize(
    ("count", "fraction", "size"),
    [
        (17_991, "0.001", 17), (17_991, "0.1", 1_799), (17_991, "0.01", 179), (17_991, "0.005", 89),
        (17_991, "0.002", 35), (62_668, "0.2", 12_533), (62_668, "0.1", 6_266), (62_668, "0.01", 626),
        (1_963, "0.2", 392), (32_421, "0.1", 3_242),
    ],
)  # fmt: skip
def test_stride_gives_the_sizes_of_the_papers(count: int, fraction: str, size: int) -> None:
    chosen = subset.stride(ids_of(count), Fraction(fraction))
    assert len(chosen) == size
    step = int(1 / Fraction(fraction))
    assert chosen == list(range(0, count, step))[:size]


def test_stride_of_a_fraction_that_is_no_unit_fraction() -> None:
    assert subset.stride(ids_of(10), Fraction("0.3")) == [0, 3, 6]
    assert subset.stride(ids_of(10), Fraction(1)) == list(range(10))


@given(counts, fractions)
def test_stride_is_floor_of_j_over_f(count: int, fraction: Fraction) -> None:
    ids = ids_of(count)
    if count * fraction < 1:
        with pytest.raises(DataError, match="less than one sample"):
            subset.stride(ids, fraction)
        return
    chosen = subset.stride(ids, fraction)
    assert len(chosen) == int(count * fraction)
    assert all(i == int(j / fraction) for j, i in enumerate(chosen))
    assert chosen == sorted(set(chosen)) and chosen[-1] < count


@pytest.mark.parametrize("fraction", [Fraction(0), Fraction(-1, 2), Fraction(3, 2)])
def test_fractions_outside_the_unit_interval_are_refused(fraction: Fraction) -> None:
    with pytest.raises(ConfigError, match="outside"):
        subset.stride(ids_of(10), fraction)


@given(counts, fractions, fractions, st.integers(0, 5), st.integers(1, 5), st.integers(1, 7))
def test_shuffled_is_nested_and_as_large_as_stride(
    count: int, one: Fraction, other: Fraction, seed: int, number: int, strata: int
) -> None:
    small, large = sorted((one, other))
    if count * small < 1:
        return
    ids = ids_of(count)
    for kinds in (None, [i % strata for i in range(count)]):
        inner = subset.shuffled(ids, small, seed, number, strata=kinds)
        outer = subset.shuffled(ids, large, seed, number, strata=kinds)
        assert set(inner) <= set(outer)
        assert len(inner) == len(subset.stride(ids, small))
        assert inner == sorted(set(inner))


def test_shuffled_depends_on_seed_subset_and_id_alone() -> None:
    ids = ids_of(200)
    half = Fraction(1, 2)
    first = subset.shuffled(ids, half, 0, 1)
    assert first != subset.shuffled(ids, half, 1, 1)
    assert first != subset.shuffled(ids, half, 0, 2)
    turned = subset.shuffled(ids[::-1], half, 0, 1)
    assert {ids[i] for i in first} == {ids[::-1][i] for i in turned}


def test_shuffled_thins_every_stratum_alike() -> None:
    subjects = [i % 3 if i < 30 else 3 for i in range(300)]
    chosen = subset.shuffled(ids_of(300), Fraction(1, 10), 0, 1, strata=subjects)
    kept = Counter(subjects[i] for i in chosen)
    assert len(chosen) == 30 and kept[3] in (26, 27, 28) and all(kept[s] in (0, 1, 2) for s in range(3))


@given(counts, fractions, st.integers(1, 9), st.booleans())
def test_groups_stay_together(count: int, fraction: Fraction, size: int, random: bool) -> None:
    groups = [i // size for i in range(count)]
    if (groups[-1] + 1) * fraction < 1 or count * fraction < 1:
        return
    ids = ids_of(count)
    if random:
        chosen = subset.shuffled(ids, fraction, 0, 1, groups=groups)
    else:
        chosen = subset.stride(ids, fraction, groups)
    kept = {groups[i] for i in chosen}
    assert chosen == [i for i in range(count) if groups[i] in kept]
    assert len(kept) == int((groups[-1] + 1) * fraction)


def test_groups_need_one_key_per_sample() -> None:
    with pytest.raises(DataError, match="3 group keys for 4"):
        subset.stride(ids_of(4), Fraction(1, 2), [0, 0, 1])


@given(st.integers(1, 5), st.integers(1, 12), st.integers(1, 20), st.integers(0, 3))
def test_shots_are_nested_and_spread_over_users(classes: int, few: int, users: int, seed: int) -> None:
    count = classes * 40
    labels = [i % classes for i in range(count)]
    owner = [(i // classes) % users for i in range(count)]
    ids = ids_of(count)
    small = subset.shots(ids, labels, few, seed, owner)
    large = subset.shots(ids, labels, few * 2, seed, owner)
    assert set(small) <= set(large)
    assert Counter(labels[i] for i in small) == dict.fromkeys(range(classes), few)
    most = max(Counter((labels[i], owner[i]) for i in small).values())
    assert most == -(-few // users)


def test_shots_name_the_class_that_is_too_small() -> None:
    with pytest.raises(DataError, match="class b has 1 samples, 2 shots"):
        subset.shots(ids_of(4), ["a", "a", "a", "b"], 2, 0)
    with pytest.raises(ConfigError):
        subset.shots(ids_of(4), ["a"] * 4, 0, 0)


@given(st.integers(2, 300), st.integers(1, 9), st.fractions(Fraction(1, 100), Fraction(99, 100)))
def test_held_out_keeps_groups_on_one_side(count: int, size: int, share: Fraction) -> None:
    groups = [f"user{i // size}" for i in range(count)]
    names = set(groups)
    if len(names) < 2:
        with pytest.raises(DataError, match="two are needed"):
            subset.held_out(ids_of(count), share, groups)
        return
    held = subset.held_out(ids_of(count), share, groups)
    inside, outside = ({groups[i] for i in range(count) if (i in held) is side} for side in (True, False))
    assert inside and outside and not inside & outside
    assert len(inside) == max(1, int(len(names) * share))


@given(st.integers(60, 1500), fractions)
def test_cut_strides_the_full_list_first(count: int, fraction: Fraction) -> None:
    ids = ids_of(count)
    validation = subset.held_out(ids, Fraction(1, 10))
    if not set(subset.stride(ids, fraction) if count * fraction >= 1 else []) - validation:
        with pytest.raises(DataError):
            subset.cut(ids, fraction, validation)
        return
    train, val = subset.cut(ids, fraction, validation)
    assert train == [i for i in subset.stride(ids, fraction) if i not in validation]
    assert set(val) <= validation
    assert len(val) == max(int(len(validation) * fraction), min(50, len(validation)))
