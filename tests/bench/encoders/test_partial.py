import torch

from bench.encoders import build_encoder
from bench.encoders.partial import embed_present, encode_present


def test_absent_samples_are_zero_and_leave_no_trace(spec, depth):
    encoder = build_encoder(spec, "depth")
    alone = build_encoder(spec, "depth")
    alone.load_state_dict(encoder.state_dict())
    x = torch.cat([depth, torch.zeros_like(depth)])[[0, 2, 1, 3]]
    features = encode_present(encoder, x, torch.tensor([True, False, True, False]))
    expected = alone(depth)
    assert torch.equal(features.pooled[[0, 2]], expected.pooled)
    assert torch.equal(features.maps[0][[0, 2]], expected.maps[0])
    assert not features.pooled[[1, 3]].any()
    assert all(torch.equal(a, b) for a, b in zip(encoder.buffers(), alone.buffers(), strict=True))


def test_empty_batch_keeps_graph_and_statistics(spec, depth):
    encoder = build_encoder(spec, "depth")
    before = [b.clone() for b in encoder.buffers()]
    features = encode_present(encoder, torch.zeros_like(depth), torch.zeros(2, dtype=torch.bool))
    (features.pooled.sum() * 0).backward()
    assert all(p.grad is not None for p in encoder.parameters() if p.requires_grad)
    assert all(torch.equal(a, b) for a, b in zip(encoder.buffers(), before, strict=True))
    assert encoder.training


def test_heads_normalise_over_present_samples_and_need_two_of_them():
    head, twin = (torch.nn.Sequential(torch.nn.BatchNorm1d(3, momentum=0.5)) for _ in range(2))
    x, present = torch.rand(4, 3), torch.tensor([True, False, True, True])
    out = embed_present(head, x, present)
    assert torch.equal(out[present], twin(x[present])) and not out[1].any()
    before = [b.clone() for b in head.buffers()]
    for rows in ([True, False, False, False], [False] * 4):
        out = embed_present(head, x, torch.tensor(rows))
        torch.testing.assert_close(out, twin.eval()(x))
    assert all(torch.equal(a, b) for a, b in zip(head.buffers(), before, strict=True)) and head.training
