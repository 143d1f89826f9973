"""Changes of colour for whole batches of images, (N, 3, H, W) in [0, 1], with numbers of each sample."""

from __future__ import annotations

import torch
from torch import Tensor

GREY = (0.299, 0.587, 0.114)


def tint(rgb: Tensor, factors: Tensor) -> Tensor:
    """Change brightness, contrast (about the mean grey) and saturation (about the grey of each pixel).

    Args:
        rgb: images.
        factors: (N, 3).
    """
    brightness, contrast, saturation = factors.to(rgb.dtype).view(-1, 3, 1, 1, 1).unbind(1)
    weights = _weights(rgb)
    bright = (rgb * brightness).clamp(0, 1)
    mean = (bright * weights).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    spread = torch.lerp(mean, bright, contrast).clamp(0, 1)
    return torch.lerp((spread * weights).sum(1, keepdim=True), spread, saturation).clamp(0, 1)


def grey(rgb: Tensor) -> Tensor:
    """Return the grey of each pixel in all channels."""
    return (rgb * _weights(rgb)).sum(1, keepdim=True).expand_as(rgb)


def hue(rgb: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue by `shift` (N,), 1 = full circle, at equal value and saturation (HSV)."""
    value, least = rgb.amax(1), rgb.amin(1)
    chroma = (value - least).clamp_min(1e-8)
    red, green, blue = rgb.unbind(1)
    where = torch.where(
        value == red,
        (green - blue) / chroma,
        torch.where(value == green, 2 + (blue - red) / chroma, 4 + (red - green) / chroma),
    )
    turned = where + 6 * shift.to(rgb.dtype).view(-1, 1, 1)
    # each channel falls and rises with its distance from its own place on the circle
    places = [(k + turned) % 6 for k in (5, 3, 1)]
    falls = [torch.minimum(p, 4 - p).clamp(0, 1) for p in places]
    return torch.stack([value - (value - least) * fall for fall in falls], 1)


def solarise(rgb: Tensor) -> Tensor:
    """Invert what is brighter than one half."""
    return torch.where(rgb >= 0.5, 1 - rgb, rgb)


def blur(rgb: Tensor, sigma: Tensor) -> Tensor:
    """Smooth with a Gaussian of `sigma` (N,) pixels; at the border its weight lies on what is inside."""
    sigma = sigma.to(rgb.dtype)
    rows, columns = (_gaussian(side, sigma)[:, None] for side in rgb.shape[-2:])
    return rows @ rgb @ columns.transpose(-1, -2)


def _gaussian(side: int, sigma: Tensor) -> Tensor:
    """Weights of all pixels of a line for each of them, (N, side, side)."""
    places = torch.arange(side, device=sigma.device, dtype=sigma.dtype)
    steps = (places[:, None] - places) / sigma.view(-1, 1, 1)
    weights = torch.softmax(-0.5 * steps.square(), -1)
    # below any rounding; CPUs take many times as long for what is smaller than the least normal number
    return weights.where(weights > torch.finfo(weights.dtype).eps ** 2, 0)


def _weights(rgb: Tensor) -> Tensor:
    return torch.tensor(GREY, dtype=rgb.dtype, device=rgb.device).view(1, 3, 1, 1)
