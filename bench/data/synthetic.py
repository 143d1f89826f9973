"""The built-in renderer as a source of samples; its compiled parts are loaded when something is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.data.renderer import Arrays, Field
from bench.synth import domains


@dataclass(frozen=True, slots=True)
class Synthetic:
    """Draws the embedded people; see `bench.data.renderer.Renderer` for the methods."""

    @property
    def version(self) -> int:
        """Version of the generator."""
        return domains.GENERATOR_VERSION

    def domains(self) -> tuple[str, ...]:
        """Names of the domains."""
        return tuple(domains.DOMAINS)

    def splits(self, domain: str) -> tuple[str, ...]:
        """Splits of a domain."""
        return domains.domain_named(domain).splits

    def modalities(self, domain: str) -> tuple[str, ...]:
        """Modalities of a domain's samples."""
        return domains.domain_named(domain).modalities

    def clip_shape(self, domain: str) -> tuple[int, int]:
        """Frames and views of a clip."""
        settings = domains.domain_named(domain)
        return settings.frames, settings.cameras

    def clips(self, domain: str, split: str, samples: int) -> int:
        """Clips that hold at least that many samples."""
        return domains.clip_count(domain, split, samples)

    def identity(self, domain: str, split: str, clip: int) -> int:
        """Person of a clip."""
        return domains.clip_ids(domain, split, clip).identity

    def fields(self, size: int) -> dict[str, Field]:
        """Arrays of a sample."""
        from bench.synth.clips import FIELDS

        return {name: Field(dtype=np.dtype(t).name, shape=shape(size)) for name, (t, shape) in FIELDS.items()}

    def warm_up(self) -> None:
        """Compile the renderer."""
        from bench.synth.clips import warm_up

        warm_up()

    def render(self, domain: str, split: str, clip: int, *, size: int, seed: int) -> Arrays:
        """Arrays of one clip."""
        from bench.synth.clips import render_clip

        return render_clip(domain, split, clip, size=size, seed=seed)
