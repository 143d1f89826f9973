"""Images per second of the synthetic renderer, all labels, one process."""

from __future__ import annotations

import itertools

import pytest

from bench.synth.clips import render_clip, warm_up
from bench.synth.domains import DOMAINS, samples_per_clip


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("domain", DOMAINS)
def test_render_speed(benchmark, domain, size):
    warm_up()
    split = DOMAINS[domain].splits[0]
    numbers = itertools.count()
    benchmark.extra_info["images"] = samples_per_clip(domain)
    clip = benchmark.pedantic(
        lambda: render_clip(domain, split, next(numbers), size=size, seed=0), rounds=12, warmup_rounds=2
    )
    benchmark.extra_info["pictures_per_s"] = round(samples_per_clip(domain) / benchmark.stats["median"], 1)
    assert len(clip["rgb"]) == samples_per_clip(domain)
