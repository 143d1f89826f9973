from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.encoders.modules import load_module, save_module
from bench.errors import ConfigError
from bench.heads.pair_decoder import PairDecoder, PairDecoderConfig
from bench.train.seeding import seeded_initialisation

CFG = PairDecoderConfig(inputs=12, grid=(3, 4), width=16, blocks=2, heads=2)


def built(cfg: PairDecoderConfig = CFG) -> PairDecoder:
    with seeded_initialisation("pairs"):
        return PairDecoder(cfg).eval()


def tokens(seed: int) -> Tensor:
    return torch.randn(2, 12, 12, generator=torch.Generator().manual_seed(seed))


KEEP = torch.tensor([[0, 5, 7], [1, 2, 11]])


def plain(decoder: PairDecoder, target: Tensor, reference: Tensor) -> Tensor:
    """Compute the decoder as its formulas are written, head by head, for one pair (L, D), unmasked."""
    cfg = decoder.cfg
    size = cfg.width // cfg.heads

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        heads = []
        for h in range(cfg.heads):
            own = slice(h * size, (h + 1) * size)
            heads.append(torch.softmax(q[:, own] @ k[:, own].T / size**0.5, -1) @ v[:, own])
        return torch.cat(heads, -1)

    table = decoder.get_buffer("positions")[0]
    x, y = decoder.embed(target) + table, decoder.embed(reference) + table
    for block in decoder.blocks:
        q, k, v = block.attn.qkv(block.norm1(x)).split(cfg.width, -1)
        x = x + block.attn.proj(attend(q, k, v))
        cross, seen = block.cross_attn, block.norm_y(y)
        x = x + cross.proj(attend(cross.projq(block.norm2(x)), cross.projk(seen), cross.projv(seen)))
        x = x + block.mlp.fc2(F.gelu(block.mlp.fc1(block.norm3(x))))
    return decoder.norm(x)


def test_it_is_what_its_formulas_say() -> None:
    decoder = built()
    out = decoder(tokens(0), tokens(1))
    for i in range(2):
        torch.testing.assert_close(out[i], plain(decoder, tokens(0)[i], tokens(1)[i]), rtol=1e-4, atol=1e-5)
    first, last = decoder.hooked(tokens(0), tokens(1), (0, 1))
    assert torch.equal(last, out) and not torch.equal(first, last)


@pytest.mark.parametrize("positions", ["sincos", "rope100"])
def test_hidden_patches_are_one_learned_token_at_their_places(positions: str) -> None:
    decoder = built(replace(CFG, positions=positions))
    seen = tokens(0).gather(1, KEEP[:, :, None].expand(-1, -1, 12))
    out = decoder(seen, tokens(1), KEEP)
    order = [2, 0, 1]
    assert torch.allclose(decoder(seen[:, order], tokens(1), KEEP[:, order]), out, atol=1e-6)
    assert not torch.allclose(decoder(seen[:, order], tokens(1), KEEP), out, atol=1e-3)
    flat = out[0, [3, 4, 6, 8]]  # hidden ones differ by their positions alone
    assert (flat - flat[0])[1:].abs().amax(1).min() > 1e-4


@pytest.mark.parametrize("positions", ["sincos", "rope100"])
def test_the_reference_comes_in_by_cross_attention_alone(positions: str) -> None:
    decoder = built(replace(CFG, positions=positions))
    out, other = decoder(tokens(0), tokens(1)), decoder(tokens(0), torch.zeros(2, 12, 12))
    assert (out - other).abs().max() > 1e-2
    for block in decoder.blocks:
        torch.nn.init.zeros_(block.cross_attn.proj.weight)
    assert torch.equal(decoder(tokens(0), tokens(1)), decoder(tokens(0), torch.zeros(2, 12, 12)))


def test_rotary_decoders_see_differences_of_positions_alone() -> None:
    """Without anything added to tokens, moving both images by a column moves the output."""
    decoder = built(replace(CFG, positions="rope100", grid=(1, 6)))
    wide = PairDecoder(replace(CFG, positions="rope100", grid=(1, 9))).eval()
    wide.load_state_dict(decoder.state_dict())
    shifted = decoder.get_buffer("positions") + wide.get_buffer("positions")[3]
    target, reference = tokens(0)[:, :6], tokens(1)[:, :6]
    out = decoder(target, reference)
    decoder.positions = shifted
    torch.testing.assert_close(decoder(target, reference), out, rtol=1e-4, atol=1e-5)


def test_tables_are_no_parameters_and_the_module_is_rebuilt_without_its_method(tmp_path: Path) -> None:
    for positions in ("sincos", "rope100"):
        decoder = built(replace(CFG, positions=positions))
        assert not [n for n, _ in decoder.named_parameters() if "position" in n]
        save_module("decoder", decoder, tmp_path)
        again = load_module("decoder", tmp_path).eval()
        assert isinstance(again, PairDecoder) and again.cfg == decoder.cfg
        assert torch.equal(again(tokens(0), tokens(1)), decoder(tokens(0), tokens(1)))


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="3 heads"):
        replace(CFG, heads=3)
    with pytest.raises(ConfigError, match="rope100"):
        replace(CFG, width=24, heads=4, positions="rope100")
