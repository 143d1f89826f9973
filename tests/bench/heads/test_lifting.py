import torch

from bench.heads.lifting import Adversary, LiftingHead
from bench.losses.adversarial import fooling, telling_apart
from bench.losses.kcs import bone_matrix


def test_sizes_follow_the_released_code():
    torch.manual_seed(0)
    head, adversary = LiftingHead(64), Adversary(bone_matrix())
    assert head(torch.randn(3, 64)).shape == (3, 17, 3)
    assert adversary(torch.randn(3, 17, 3)).shape == (3,)
    assert adversary.chain[0].in_features == 256
    assert Adversary(bone_matrix("official")).chain[0].in_features == 225


def test_one_backward_pass_gives_the_gradients_of_both_steps():
    """The sum's gradients are those of a generator step and an adversary step on the same skeletons."""
    torch.manual_seed(0)
    head, adversary = LiftingHead(16), Adversary(bone_matrix())
    vectors, real = torch.randn(6, 16), torch.randn(6, 17, 3)
    skeletons = head(vectors)
    together = 0.5 * fooling(adversary.frozen(skeletons))
    together = together + telling_apart(adversary(skeletons.detach()), adversary(real))
    together.backward()
    summed = [p.grad.clone() for m in (head, adversary) for p in m.parameters()]

    head.zero_grad(), adversary.zero_grad()
    (0.5 * fooling(adversary(head(vectors)))).backward()  # leaves gradients in the adversary, too
    generator = [p.grad.clone() for p in head.parameters()]
    assert all(p.grad.any() for p in adversary.parameters())
    adversary.zero_grad()
    telling_apart(adversary(head(vectors).detach()), adversary(real)).backward()
    assert all(p.grad is not None and p.grad.any() for p in head.parameters())  # of the first step alone
    steps = generator + [p.grad for p in adversary.parameters()]
    for one, two in zip(summed, steps, strict=True):
        torch.testing.assert_close(one, two)


def test_frozen_scores_are_the_same_and_reach_skeletons_alone():
    torch.manual_seed(0)
    adversary = Adversary(bone_matrix())
    skeletons = torch.randn(4, 17, 3, requires_grad=True)
    torch.testing.assert_close(adversary.frozen(skeletons), adversary(skeletons))
    fooling(adversary.frozen(skeletons)).backward()
    assert skeletons.grad.abs().sum() > 0
    assert all(p.grad is None and p.requires_grad for p in adversary.parameters())
