"""Data budgets as pure functions on ids: strides, nested random subsets, shots, the validation cut.

All functions return positions into the ids they were given, ascending unless said otherwise, so that rows of
arrays and ids can be picked alike. Nothing here depends on hardware, hash seeds or the order of a set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from fractions import Fraction
from typing import TypeVar

from bench.errors import ConfigError, DataError

Key = TypeVar("Key", bound=Hashable)

MIN_VALIDATION = 50  # items; fewer make the choice of a checkpoint a lottery


def stride(ids: Sequence[str], fraction: Fraction, groups: Sequence[Hashable] | None = None) -> list[int]:
    """Positions `floor(j / f)` for `j = 0 .. floor(N f) - 1`: every k-th item for f = 1/k.

    The rule of HCMoCo (arXiv:2203.13815, supplementary details of fine-tuning: "uniformly sampled from the
    default ordered full training set"); `floor` for other fractions is a design choice.

    Args:
        ids: the full list in its default order, N ids.
        fraction: share to keep, in (0, 1].
        groups: one key per id; items of a group stay together and the rule runs over the groups, in the
            order in which they first appear.

    Raises:
        ConfigError: the fraction is outside (0, 1].
        DataError: nothing would be left.
    """
    _check(fraction, len(ids))
    if groups is None:
        return [j * fraction.denominator // fraction.numerator for j in range(_size(len(ids), fraction))]
    members = list(_members(groups, len(ids)).values())
    chosen = [
        members[j * fraction.denominator // fraction.numerator] for j in range(_size(len(members), fraction))
    ]
    return sorted(i for group in chosen for i in group)


def shuffled(
    ids: Sequence[str],
    fraction: Fraction,
    seed: int,
    subset: int,
    groups: Sequence[Hashable] | None = None,
    strata: Sequence[Hashable] | None = None,
) -> list[int]:
    """Draw a random subset of the size that `stride` gives; smaller fractions are nested in larger ones.

    An item is ranked by a hash of (seed, subset, id), so its rank does not depend on the other items
    (design choice).

    Args:
        ids: N unique ids.
        fraction: share to keep, in (0, 1].
        seed: of the run.
        subset: number of the subset; 0 is by convention the stride rule, so draws start at 1.
        groups: one key per id; items of a group stay together.
        strata: one key per id, e.g. the subject; every stratum is thinned alike. A group belongs to the
            stratum of its first item.

    Raises:
        ConfigError: the fraction is outside (0, 1].
        DataError: nothing would be left.
    """
    _check(fraction, len(ids))
    members = _members(groups if groups is not None else range(len(ids)), len(ids))
    units = list(members.values())
    names = ids if groups is None else [str(key) for key in members]
    rank = {unit: k for k, unit in enumerate(_by_hash(names, seed, subset))}
    place: dict[int, Fraction | int] = dict(rank)
    if strata is not None:
        for name, stratum in _members([strata[unit[0]] for unit in units], len(units)).items():
            shift = Fraction(_hash(f"{seed}/{subset}/{name}"), 2**64)  # not all strata start at once
            for position, unit in enumerate(sorted(stratum, key=rank.__getitem__)):
                place[unit] = (position + shift) / len(stratum)
    order = sorted(range(len(units)), key=lambda unit: (place[unit], rank[unit]))
    return sorted(i for unit in order[: _size(len(units), fraction)] for i in units[unit])


def shots(
    ids: Sequence[str],
    labels: Sequence[Hashable],
    count: int,
    seed: int,
    users: Sequence[Hashable] | None = None,
) -> list[int]:
    """Draw `count` items per class; the 16-shot set lies within the 32-shot set (design choice).

    Args:
        ids: N unique ids.
        labels: class of each item.
        count: items per class, at least 1.
        seed: of the draw.
        users: person behind each item; a class takes a second item of a person only when every person of
            that class has given one.

    Raises:
        ConfigError: `count` is below 1.
        DataError: a class has fewer than `count` items.
    """
    if count < 1:
        raise ConfigError(f"{count} shots per class: ask for at least 1")
    order = _by_hash(ids, seed, "shots")
    chosen = []
    for label, members in _members([labels[i] for i in order], len(ids)).items():
        items = [order[k] for k in members]
        if len(items) < count:
            raise DataError(f"class {label} has {len(items)} samples, {count} shots were asked for")
        if users is not None:
            turn = _turns([users[i] for i in items])
            items = [items[k] for k in sorted(range(len(items)), key=lambda k: (turn[k], k))]
        chosen += items[:count]
    return sorted(chosen)


def held_out(ids: Sequence[str], share: Fraction, groups: Sequence[Hashable] | None = None) -> frozenset[int]:
    """Positions of a validation part: the groups whose ids have the smallest hashes.

    Args:
        ids: N unique ids.
        share: of the groups, in (0, 1); at least one group is taken.
        groups: one key per id (image, user, sequence); no group is on both sides. Without it every item is
            a group of its own.

    Raises:
        ConfigError: the share is outside (0, 1).
        DataError: there are fewer than two groups.
    """
    if not 0 < share < 1:
        raise ConfigError(f"a validation share of {share} is outside (0, 1)")
    members = _members(groups if groups is not None else range(len(ids)), len(ids))
    if len(members) < 2:
        raise DataError(f"a validation part cannot be cut from {len(members)} group(s); two are needed")
    units = list(members.values())
    names = ids if groups is None else [str(key) for key in members]
    count = max(1, _size(len(units), share))
    return frozenset(i for unit in _by_hash(names, "validation")[:count] for i in units[unit])


def cut(ids: Sequence[str], fraction: Fraction, validation: frozenset[int]) -> tuple[list[int], list[int]]:
    """Split a budget into training and validation positions (design choice).

    The stride subset of the *full* list comes first, then its items that are held out are removed; the
    validation part is thinned by the same fraction but keeps at least 50 items (or all it has).

    Raises:
        ConfigError: the fraction is outside (0, 1].
        DataError: nothing would be left to train on.
    """
    train = [i for i in stride(ids, fraction) if i not in validation]
    if not train:
        raise DataError(f"the fraction {fraction} of {len(ids)} samples leaves none to train on")
    held = sorted(validation)
    share = max(fraction, min(Fraction(1), Fraction(MIN_VALIDATION, max(1, len(held)))))
    return train, [held[k] for k in stride([ids[i] for i in held], share)] if held else []


def _check(fraction: Fraction, count: int) -> None:
    if not 0 < fraction <= 1:
        raise ConfigError(f"a data fraction of {fraction} is outside (0, 1]")
    if _size(count, fraction) < 1:
        raise DataError(f"the fraction {fraction} of {count} samples is less than one sample")


def _size(count: int, fraction: Fraction) -> int:
    return count * fraction.numerator // fraction.denominator


def _members(keys: Sequence[Key], count: int) -> dict[Key, list[int]]:
    """Positions by key, keys in the order of their first appearance."""
    if len(keys) != count:
        raise DataError(f"{len(keys)} group keys for {count} samples")
    found: dict[Key, list[int]] = {}
    for position, key in enumerate(keys):
        found.setdefault(key, []).append(position)
    return found


def _turns(keys: Sequence[Hashable]) -> list[int]:
    """How often each key has appeared before."""
    seen: dict[Hashable, int] = {}
    turns = []
    for key in keys:
        turns.append(seen.get(key, 0))
        seen[key] = turns[-1] + 1
    return turns


def _by_hash(names: Sequence[str], *words: int | str) -> list[int]:
    """Positions in a random order that depends on the names and words alone."""
    prefix = "/".join(str(word) for word in words)
    return sorted(range(len(names)), key=lambda i: (_hash(f"{prefix}/{names[i]}"), names[i]))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
