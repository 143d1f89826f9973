"""One person: body shape, clothes, colours and the cloth that lies over the skin."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.bodymodels.model import surrogate_body
from bench.synth import cuts, materials
from bench.synth.clothes import Outfit, draw_outfit, stand_off
from bench.synth.noise import SEEDS
from bench.synth.rng import Stream, generator

Floats = NDArray[np.float64]
Single = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Identity:
    """Everything that stays with a person."""

    betas: Single  # (10,)
    vertices: Single  # rest shape without clothes, metres, (V, 3)
    joints: Floats  # of the rest shape, (24, 3)
    offsets: Single  # how far cloth and hair stand off the skin, metres, (V,)
    outfit: Outfit
    materials: Single  # (7, 18), one row per slot


@lru_cache(maxsize=8192)
def outfit_of(seed: int, identity: int) -> Outfit:
    """The clothes of the person with that id, as `draw_identity` draws them, without all the rest."""
    return _draw_first(seed, identity)[2]


def _draw_first(seed: int, identity: int) -> tuple[Generator, Floats, Outfit]:
    """The random numbers of a person, those that make the shape (10,), and the clothes, which come next."""
    rng = generator(seed, Stream.IDENTITY, identity)
    return rng, rng.normal(size=10), draw_outfit(rng)


@lru_cache(maxsize=64)
def draw_identity(
    seed: int, identity: int, beta_limit: float, patterns: tuple[str, ...], colourfulness: float
) -> Identity:
    """Draw the person with that id.

    Args:
        seed: seed of the data set.
        identity: global id.
        beta_limit: largest shape coefficient, standard deviations; their sd is this over 2.1.
        patterns: cloth patterns that may occur.
        colourfulness: scales the saturation of clothes.
    """
    rng, normal, outfit = _draw_first(seed, identity)
    betas = np.clip(normal * beta_limit / 2.1, -beta_limit, beta_limit).astype(np.float32)
    vertices, joints = surrogate_body().shape(betas)
    rows = draw_materials(rng, patterns, colourfulness)
    return Identity(
        betas=betas,
        vertices=np.ascontiguousarray(vertices, np.float32),
        joints=joints,
        offsets=stand_off(outfit, surrogate_body().v_template),
        outfit=outfit,
        materials=rows,
    )


def draw_materials(rng: Generator, patterns: tuple[str, ...], colourfulness: float) -> Single:
    """Skin, hair and clothes of a person, one row per slot, (7, 18)."""
    skin = materials.skin_colour(rng)
    palette = [materials.cloth_colour(rng, colourfulness) for _ in range(3)]
    rows = np.zeros((cuts.SLOTS, materials.WIDTH), np.float32)
    for slot in (cuts.TOP, cuts.BOTTOM, cuts.SHOES, cuts.ACCESSORY, cuts.JACKET):
        for _ in range(8):  # cloth in the colour of the skin would look like none
            rows[slot] = materials.cloth(rng, patterns, colourfulness, palette)
            if not materials.resembles(rows[slot], skin):
                break
    if rng.random() < 0.1:  # overall
        rows[cuts.BOTTOM] = rows[cuts.TOP]
    rows[cuts.SKIN] = materials.solid(
        skin, gloss=rng.uniform(0.02, 0.1), bump=0.03, grain=0.05, size=0.045, seed=int(rng.integers(SEEDS))
    )
    hair = materials.hair_colour(rng)
    rows[cuts.HAIR] = materials.solid(
        hair, gloss=0.06, bump=0.3, grain=0.3, size=0.022, seed=int(rng.integers(SEEDS))
    )
    return rows
