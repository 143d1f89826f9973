"""What an encoder costs: parameters, and multiplications of one image."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.encoders.image import ImageEncoder


def describe_cost(encoder: ImageEncoder, size: tuple[int, int]) -> dict[str, str]:
    """Return `parameters`, as a whole number, and `gmacs`, 10^9 multiply-adds per image of that size.

    Counted are matrix products, convolutions and attention (torch.utils.flop_counter), no element-wise work.
    """
    training = encoder.training
    encoder.eval()
    channels = 1 if encoder.modality == "depth" else 3
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        encoder(torch.zeros(1, channels, *size))
    encoder.train(training)
    count = sum(parameter.numel() for parameter in encoder.parameters())
    return {"parameters": str(count), "gmacs": f"{counter.get_total_flops() / 2e9:.3g}"}
