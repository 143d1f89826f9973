from __future__ import annotations

import numpy as np
import pytest

from bench.metrics.images import K1, K2, LEAST_MSE, SIGMA, likeness, ssim_map


def images(seed: int, n: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 16, 14, 3)).astype(np.uint8)


def naive(a: np.ndarray, b: np.ndarray, y: int, x: int, span: float) -> float:
    """Structural similarity of one channel around one pixel."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * SIGMA**2))
    window /= window.sum()
    p, q = (np.pad(image, 5)[y : y + 11, x : x + 11] for image in (a, b))
    mp, mq = (window * p).sum(), (window * q).sum()
    vp, vq = (window * p * p).sum() - mp**2, (window * q * q).sum() - mq**2
    both = (window * p * q).sum() - mp * mq
    c1, c2 = (K1 * span) ** 2, (K2 * span) ** 2
    return float((2 * mp * mq + c1) * (2 * both + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))


def test_similarity_is_that_of_windows() -> None:
    a, b = images(0) / 127.5 - 1, images(1) / 127.5 - 1
    found = ssim_map(a, b, 2.0)
    for y, x in ((0, 0), (8, 7), (15, 13), (3, 11)):
        expected = np.mean([naive(a[1, ..., c], b[1, ..., c], y, x, 2.0) for c in range(3)])
        assert found[1, y, x] == pytest.approx(expected, abs=1e-9)


def test_perfect_and_worse() -> None:
    wanted, mask = images(0), np.zeros((2, 16, 14), bool)
    mask[:, 4:12, 3:9] = True
    best = likeness(wanted, wanted, mask)
    for name in ("ssim", "ssim_image"):
        assert best[name].tolist() == pytest.approx([1, 1])
    assert best["psnr"].tolist() == pytest.approx([-10 * np.log10(LEAST_MSE)] * 2)
    worse = likeness(images(3), wanted, mask)
    assert (worse["ssim"] < 0.5).all() and (worse["psnr"] < 15).all()
    assert (worse["ssim_image"] > worse["ssim"]).all()  # the empty surroundings agree


def test_only_the_body_counts() -> None:
    wanted, mask = images(0), np.zeros((2, 16, 14), bool)
    mask[0, 4:12, 3:9] = True
    changed = wanted.copy()
    changed[:, 13:] = 0
    first, second = (likeness(x, wanted, mask) for x in (wanted, changed))
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])
        assert values[1] == 0  # nobody is there


def test_signal_to_noise_by_hand() -> None:
    wanted = np.full((1, 16, 14, 3), 100, np.uint8)
    mask = np.ones((1, 16, 14), bool)
    found = likeness(wanted + 10.0, wanted, mask)
    assert found["psnr"][0] == pytest.approx(20 * np.log10(255 / 10))
