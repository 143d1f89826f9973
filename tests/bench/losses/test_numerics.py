import torch

from bench.losses.info_nce import info_nce
from bench.losses.numerics import in_float32, l2_normalize, logsumexp, masked_mean


def test_nrm_is_unit_length_and_finite_at_zero():
    x = torch.randn(5, 7)
    x[2] = 0
    x.requires_grad_()
    y = l2_normalize(x)
    torch.testing.assert_close(y.norm(dim=1), torch.tensor([1.0, 1, 0, 1, 1]))
    y.sum().backward()
    assert torch.isfinite(x.grad).all()


def test_safe_mean_ignores_masked_infinities_and_stays_connected_when_empty():
    values = torch.tensor([1.0, torch.inf, 3.0], requires_grad=True)
    assert masked_mean(values, torch.tensor([True, False, True])) == 2
    empty = masked_mean(values * 1.0, torch.zeros(3, dtype=torch.bool))
    empty.backward()
    assert empty == 0
    assert torch.equal(values.grad, torch.zeros(3))


def test_half_precision_becomes_float32_and_autocast_is_off():
    seen = []

    @in_float32
    def product(a, b):
        seen.append(torch.is_autocast_enabled("cpu"))
        return a @ b

    a, b = torch.randn(4, 8), torch.randn(8, 3)
    with torch.autocast("cpu", torch.bfloat16):
        result = product(a, b)
        half = product(a.bfloat16(), b)
    assert result.dtype == half.dtype == torch.float32
    assert torch.equal(result, a @ b)
    assert not any(seen)


def test_losses_do_not_change_under_autocast():
    a, b = l2_normalize(torch.randn(16, 32)), l2_normalize(torch.randn(16, 32))
    plain = info_nce(a, b, 0.07)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(info_nce(a, b, 0.07), plain)


def test_logsumexp_equals_that_of_torch_whatever_is_excluded():
    logits = torch.rand(64, 48) * 28 - 14
    logits[:, ::3] = -1e30
    logits[3] = -1e30
    found = []
    for function in (torch.logsumexp, logsumexp):
        x = logits.clone().requires_grad_()
        values = function(x, 1)
        (values * torch.linspace(-1, 1, 64)).sum().backward()
        found.append((values, x.grad))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
