"""Likeness of images: structural similarity and peak signal-to-noise ratio, on the part that counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Floats = NDArray[np.float64]

SIGMA, WINDOW = 1.5, 11  # pixels, of the Gaussian
K1, K2 = 0.01, 0.03
STEPS = 255  # of stored images
LEAST_MSE = 1 / 12 / STEPS**2  # what rounding to 8 bits leaves; no PSNR is above 58.9 dB


def ssim_map(first: NDArray[np.floating], second: NDArray[np.floating], span: float) -> Floats:
    """Structural similarity around each pixel (Wang et al., 2004): Gaussian window of 11 pixels, sd 1.5.

    Args:
        first: (N, H, W, C).
        second: as `first`.
        span: of the values, e.g. 2 for images in [-1, 1].

    Returns:
        Mean over the channels, (N, H, W), at most 1; outside the image there are zeros.
    """

    def blurred(x: Floats) -> Floats:
        sigma, reach = (0, SIGMA, SIGMA, 0), (0, WINDOW // 2, WINDOW // 2, 0)
        out: Floats = gaussian_filter(x, sigma, mode="constant", radius=reach)
        return out

    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    c1, c2 = (K1 * span) ** 2, (K2 * span) ** 2
    mean_a, mean_b = blurred(a), blurred(b)
    var_a, var_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
    both = blurred(a * b) - mean_a * mean_b
    top = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    found: Floats = (top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean(-1)
    return found


def likeness(
    predicted: NDArray[np.floating], wanted: NDArray[np.uint8], mask: NDArray[np.bool_]
) -> dict[str, Floats]:
    """Compare images of a body, without what is around it.

    Args:
        predicted: in 0..255, (N, H, W, 3).
        wanted: (N, H, W, 3).
        mask: where the body is, (N, H, W).

    Returns:
        (N,) each. `ssim`: mean over the body; `ssim_image`: over the whole image, both images multiplied by
        the mask in [-1, 1] (arXiv:2109.02563); `psnr`: dB, of the squared error on the body. 0 where there is
        no body; `there`: 1 where there is one.
    """
    body = mask[..., None]
    a, b = (np.where(body, 2 * np.asarray(x, np.float64) / STEPS - 1, 0.0) for x in (predicted, wanted))
    similar = ssim_map(a, b, 2.0)
    count = mask.sum((1, 2))
    there = count > 0
    pixels = np.maximum(1, count)
    mse = ((a - b) ** 2 / 4).mean(-1).sum((1, 2)) / pixels  # of values in [0, 1]
    return {
        "ssim": (similar * mask).sum((1, 2)) / pixels,
        "ssim_image": similar.mean((1, 2)) * there,
        "psnr": -10 * np.log10(np.maximum(mse, LEAST_MSE)) * there,
        "there": there.astype(np.float64),
    }
