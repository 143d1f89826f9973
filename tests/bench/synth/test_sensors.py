from __future__ import annotations

import numpy as np
import pytest

from bench.synth.sensors import develop, measure, rough_mask


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def slanted(size: int = 96) -> np.ndarray:
    """A plane from 2 m to 4 m with a box at 1.6 m in front of it."""
    z = np.repeat(np.linspace(2, 4, size, dtype=np.float32)[None], size, 0)
    z[30:70, 30:60] = 1.6
    return z


@pytest.mark.parametrize("structured", [True, False])
def test_depth_errors_have_the_stated_size(structured):
    z = slanted()
    everywhere, ones = np.ones(z.shape, bool), np.ones(z.shape, np.float32)
    found = measure(z, everywhere, ones, z, 100.0, rng(), structured=structured) / 1000
    valid = found > 0
    assert 0.85 < valid.mean() < 0.999
    error = np.abs(found - z)[valid]
    assert np.median(error) < 0.03 and np.quantile(error, 0.9) < 0.12
    assert np.median(error) > 0.001
    near, far = error[z[valid] < 2.3], error[z[valid] > 3.5]
    assert np.median(far) > 1.3 * np.median(near)  # grows with distance


def test_structured_light_casts_a_shadow_to_the_left_of_near_things():
    z = slanted()
    everywhere, ones = np.ones(z.shape, bool), np.ones(z.shape, np.float32)
    found = measure(z, everywhere, ones, z, 400.0, rng(), structured=True)
    left, right = found[35:65, 25:29], found[35:65, 62:70]
    assert (left == 0).mean() > 0.5 and (right == 0).mean() < 0.2


def test_depth_of_sky_grazing_and_unwanted_pixels_is_missing():
    z = np.full((64, 64), 3.0, np.float32)
    z[:16] = np.inf
    cosine = np.ones(z.shape, np.float32)
    cosine[16:32] = 0.1
    where = np.ones(z.shape, bool)
    where[:, 48:] = False
    found = measure(z, where, cosine, z, 100.0, rng(), structured=False)
    assert (found[:14] == 0).all() and (found[:, 48:] == 0).all()
    assert 0.35 < (found[16:32, :48] == 0).mean() < 0.7
    assert (found[34:, :48] == 0).mean() < 0.02


def test_exposure_brings_any_light_to_a_readable_level():
    person = np.zeros((48, 48), bool)
    person[10:40, 15:30] = True
    levels = []
    for seed in range(30):
        light = rng(seed).uniform(0.2, 1.0, (48, 48, 3)).astype(np.float32) * 10 ** rng(seed + 99).uniform(
            -1, 0.5
        )
        image = develop(light, person, rng(seed), exposure=(0.2, 0.3), noise=(0.0, 0.01), white_balance=0.03)
        assert image.dtype == np.uint8 and image.shape == (48, 48, 3)
        levels.append(image[person].mean() / 255)
    assert min(levels) > 0.4 and max(levels) < 0.65


def test_noise_has_the_stated_size():
    light = np.full((64, 64, 3), 0.2, np.float32)
    person = np.ones((64, 64), bool)
    for wanted in (0.005, 0.02):
        spread = [
            develop(light, person, rng(s), exposure=(0.2, 0.2), noise=(wanted, wanted), white_balance=0)[
                ..., 0
            ].std()
            for s in range(10)
        ]
        assert np.median(spread) == pytest.approx(255 * wanted, rel=0.15)


@pytest.mark.parametrize("size", [64, 128])
def test_rough_mask_stays_close_to_the_silhouette(size):
    y, x = np.mgrid[:size, :size] / size
    person = ((x - 0.5) / 0.3) ** 2 + ((y - 0.5) / 0.42) ** 2 < 1
    rough = rough_mask(person, rng())
    both, either = (rough & person).sum(), (rough | person).sum()
    assert 0.85 < both / either < 0.99
    assert not np.array_equal(rough, person)
