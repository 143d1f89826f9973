"""What augmentation is wanted: the `augment` section of a method's stage or of a task, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from bench.errors import ConfigError, nearest

LAWS = ("uniform", "normal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The `augment` section of a method's stage or of a task. The default changes nothing."""

    scale: tuple[float, float] = (1.0, 1.0)  # factor on the size of the person
    rotation: float = 0.0  # degrees, both ways
    rotation_p: float = 1.0  # share of samples that are rotated
    shift: float = 0.0  # of the side, both ways, both axes
    flip: bool = False  # mirror half of the samples
    crop_scale: tuple[float, float] = (1.0, 1.0)  # area of a square cut out at a random place and enlarged
    law: str = "uniform"  # or "normal": scale N(1, half the range) in the range, rotation N(0, r) within 2 r
    # brightness, contrast, saturation: factors 1 +- j; a fourth number turns the hue, 0.5 = half a circle
    jitter: tuple[float, ...] = (0.0, 0.0, 0.0)
    jitter_p: float = 1.0  # share of samples whose colours are jittered
    gray_p: float = 0.0  # share of samples that lose their colour
    blur_p: float = 0.0  # share of samples that are blurred
    blur_sigma: tuple[float, float] = (0.1, 2.0)  # range of the blur, pixels
    solarize_p: float = 0.0  # share of samples whose bright pixels are inverted

    @property
    def hue(self) -> float:
        """Largest turn of the hue, 1 = full circle."""
        return self.jitter[3] if len(self.jitter) > 3 else 0.0

    @property
    def warps(self) -> bool:
        """Whether pictures are resampled; mirroring alone is exact."""
        rotates = self.rotation > 0 and self.rotation_p > 0
        return rotates or self.shift > 0 or self.scale != (1.0, 1.0) or self.crop_scale != (1.0, 1.0)


def parse(given: Mapping[str, Any]) -> Spec:
    """Check a plain augmentation spec; absent keys change nothing.

    Raises:
        ConfigError: unknown key or impossible value.
    """
    known = [field.name for field in fields(Spec)]
    for key in given:
        if key not in known:
            raise ConfigError(f'augment: unknown key "{key}".{nearest(str(key), known)}')
    values: dict[str, Any] = {}
    for name, value in given.items():
        default = getattr(Spec(), name)
        try:
            if isinstance(default, bool) and not isinstance(value, bool):
                raise TypeError
            values[name] = tuple(map(float, value)) if isinstance(default, tuple) else type(default)(value)
        except (TypeError, ValueError):
            raise ConfigError(f"augment.{name}: {value!r} is no value like {default!r}") from None
    spec = Spec(**values)
    for name, pair in (
        ("scale", spec.scale),
        ("crop_scale", spec.crop_scale),
        ("blur_sigma", spec.blur_sigma),
    ):
        if len(pair) != 2 or not 0 < pair[0] <= pair[1]:
            raise ConfigError(f"augment.{name}: {list(pair)} is not a range of positive numbers")
    if spec.crop_scale[1] > 1:
        raise ConfigError(f"augment.crop_scale: {list(spec.crop_scale)} exceeds the area of the picture, 1")
    if len(spec.jitter) not in (3, 4) or not all(0 <= j < 1 for j in spec.jitter) or spec.hue > 0.5:
        raise ConfigError(
            f"augment.jitter: {list(spec.jitter)} is not three numbers in [0, 1) and maybe a hue in [0, 0.5]"
        )
    for name in ("jitter_p", "gray_p", "blur_p", "solarize_p"):
        if not 0 <= getattr(spec, name) <= 1:
            raise ConfigError(f"augment.{name}: {getattr(spec, name)} is no share in [0, 1]")
    if spec.rotation < 0 or spec.shift < 0 or not 0 <= spec.rotation_p <= 1:
        raise ConfigError("augment: rotation and shift must not be negative, rotation_p lies in [0, 1]")
    if spec.law not in LAWS:
        raise ConfigError(f'augment.law: unknown "{spec.law}".{nearest(spec.law, LAWS)}')
    return spec
