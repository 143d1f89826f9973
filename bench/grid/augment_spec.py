"""What augmentation is wanted: the `augment` section of a method's stage or of a task, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from bench.settings import Decay, NotNegative, OffWhen, Positive, Share, convert


class Spec(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The `augment` section of a method's stage or of a task. The default changes nothing."""

    zoom: tuple[Positive, Positive] = (1.0, 1.0)  # factor on the size of the person
    rotation: NotNegative = 0.0  # degrees, both ways
    rotation_p: Annotated[Share, OffWhen(rotation=0.0)] = 1.0  # share of samples that are rotated
    shift: NotNegative = 0.0  # of the side, both ways, both axes
    flip: bool = False  # mirror half of the samples
    crop_area: tuple[Positive, Positive] = (
        1.0,
        1.0,
    )  # share of the image's area, cut out anywhere and enlarged
    # normal: zoom N(1, half the range) in the range, rotation N(0, r) within 2 r
    distribution: Annotated[Literal["uniform", "normal"], OffWhen(rotation=0.0, zoom=((1.0, 1.0),))] = (
        "uniform"
    )
    # brightness, contrast, saturation: factors 1 +- j; a fourth number turns the hue, 0.5 = half a circle
    color_jitter: Annotated[tuple[Decay, ...], Meta(min_length=3, max_length=4)] = (0.0, 0.0, 0.0)
    color_jitter_p: Annotated[Share, OffWhen(color_jitter=((0.0, 0.0, 0.0),))] = (
        1.0  # share of samples that are jittered
    )
    gray_p: Share = 0.0  # share of samples that lose their colour
    blur_p: Share = 0.0  # share of samples that are blurred
    blur_sigma: Annotated[tuple[Positive, Positive], OffWhen(blur_p=0.0)] = (0.1, 2.0)  # range, pixels
    solarize_p: Share = 0.0  # share of samples whose bright pixels are inverted

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: one is no range; `convert` says where.
        """
        ranges = (("zoom", self.zoom), ("crop_area", self.crop_area), ("blur_sigma", self.blur_sigma))
        for name, (low, high) in ranges:
            if low > high:
                raise ValueError(f"{name}: {[low, high]} is not a range from low to high")
        if self.crop_area[1] > 1:
            raise ValueError(f"crop_area: {list(self.crop_area)} exceeds the area of the image, 1")
        if self.hue > 0.5:
            raise ValueError(f"color_jitter: a hue of {self.hue} is more than half a circle, 0.5")

    @property
    def hue(self) -> float:
        """Largest turn of the hue, 1 = full circle."""
        return self.color_jitter[3] if len(self.color_jitter) > 3 else 0.0

    @property
    def warps(self) -> bool:
        """Whether images are resampled; mirroring alone is exact."""
        rotates = self.rotation > 0 and self.rotation_p > 0
        return rotates or self.shift > 0 or self.zoom != (1.0, 1.0) or self.crop_area != (1.0, 1.0)


def parse(given: Mapping[str, Any], where: str = "augment") -> Spec:
    """Check a plain augmentation spec; absent keys change nothing.

    Raises:
        ConfigError: unknown key or impossible value.
    """
    return convert(given, Spec, where)
