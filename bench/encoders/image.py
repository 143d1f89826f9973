"""What all image encoders share: they normalise colour or depth themselves and wrap one timm model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn

from bench.api import Encoder
from bench.errors import ConfigError, nearest


def centre_depth(depth: Tensor) -> Tensor:
    """Subtract from each depth map its mean over the measured pixels (HCMoCo, arXiv:2203.13815, Sec. 4.1).

    Args:
        depth: (N, 1, H, W) metres, 0 = no measurement.

    Returns:
        (N, 1, H, W) metres; 0 where nothing was measured.
    """
    measured = depth > 0
    count = measured.sum((1, 2, 3), keepdim=True).clamp(min=1)
    mean = depth.sum((1, 2, 3), keepdim=True) / count
    return torch.where(measured, depth - mean, 0.0)


def create_timm_model(name: str, options: Mapping[str, Any]) -> nn.Module:
    """Create a timm model with random weights.

    Raises:
        ConfigError: timm has no such model, or it does not offer what the options ask for.
    """
    if name not in timm.list_models():
        raise ConfigError(f'timm has no model "{name}".{nearest(name, timm.list_models(f"{name[:3]}*"))}')
    keywords: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    try:
        model: nn.Module = timm.create_model(name, pretrained=False, **keywords)
    except (TypeError, RuntimeError, IndexError, AssertionError) as error:
        raise ConfigError(f"timm model {name}: {error}; change the encoder's config") from error
    return model


class ImageEncoder(Encoder):
    """Wrap a timm model for one modality. The state dict holds the model's weights alone, under `model.`."""

    def __init__(
        self,
        name: str,
        options: Mapping[str, Any],
        modality: str,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        """Create the timm model.

        Args:
            name: of the timm model.
            options: keyword arguments of `timm.create_model`; with them timm alone rebuilds `model`.
            modality: `rgb`, or `depth` for the same network on centred depth, repeated to three channels.
            mean: of colour in 0..1, per channel.
            std: as `mean`.

        Raises:
            ConfigError: not an image modality, or no such model.
        """
        super().__init__()
        if modality not in ("rgb", "depth"):
            raise ConfigError(f'{name} reads images (rgb or depth), not "{modality}"')
        self.modality = modality
        self.timm_recipe: dict[str, Any] = {"name": name, "options": dict(options)}
        self.model = create_timm_model(name, options)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    @property
    def normalisation(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of colour in 0..1, per channel."""
        return self.get_buffer("mean").flatten().tolist(), self.get_buffer("std").flatten().tolist()

    def normalise_by(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Take another mean and standard deviation, also for encoders that are built from the spec."""
        for name, values in (("mean", mean), ("std", std)):
            self.get_buffer(name).copy_(torch.tensor(values).view(1, 3, 1, 1))
        self.respell({"mean": [float(v) for v in mean], "std": [float(v) for v in std]})

    def respell(self, config: Mapping[str, Any]) -> None:
        """Change entries of the config in the spec."""
        self.spec = {**self.spec, "config": {**self.spec["config"], **config}}

    def preprocess(self, x: Tensor) -> Tensor:
        """Normalise (N, 3, H, W) colour in [0, 1], or (N, 1, H, W) depth in metres, to (N, 3, H, W)."""
        if self.modality == "depth":
            return centre_depth(x).expand(-1, 3, -1, -1)
        return (x - self.get_buffer("mean")) / self.get_buffer("std")

    def colours(self, x: Tensor) -> Tensor:
        """Undo `preprocess` of colour: (N, 3, H, W) in [0, 1], cut off there, for people to look at."""
        return (x * self.get_buffer("std") + self.get_buffer("mean")).clamp(0, 1)

    def describe_inputs(self) -> dict[str, Any]:
        """Return what a consumer without this package must do to the input, as plain data."""
        if self.modality == "depth":
            return {"unit": "metres, 0 = no measurement", "centre": "mean over measured pixels", "repeat": 3}
        mean, std = self.normalisation
        return {"unit": "colour in [0, 1]", "mean": mean, "std": std}
