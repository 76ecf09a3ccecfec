import pytest
import torch

from bundle.engines.batched_muon import BatchedMuon

SHAPES = [(6, 8), (8, 6), (6, 8), (5, 5), (1, 9)]


def matrices():
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def give_gradients(parameters, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize(
    "options",
    [{"adjust_lr_fn": "match_rms_adamw"}, {}, {"nesterov": False, "weight_decay": 0.0}],
)
def test_steps_are_those_of_torch_and_states_are_exchangeable(options):
    ours, theirs = matrices(), matrices()
    batched, single = BatchedMuon(ours, lr=0.1, **options), torch.optim.Muon(theirs, lr=0.1, **options)
    for seed in range(3):
        for parameters in (ours, theirs):
            give_gradients(parameters, seed)
        batched.step()
        single.step()
        for own, other in zip(ours, theirs, strict=True):
            assert torch.allclose(own, other, atol=1e-3)  # products are rounded to bfloat16, in another order
    again = BatchedMuon(matrices(), lr=0.1, **options)
    again.load_state_dict(single.state_dict())
    for own, other in zip(again.state_dict()["state"].values(), batched.state_dict()["state"].values(), strict=True):
        assert torch.equal(own["momentum_buffer"], other["momentum_buffer"])


def test_matrices_without_gradients_stay_and_those_of_zeros_bring_no_nan():
    parameters = matrices()
    before = [parameter.detach().clone() for parameter in parameters]
    parameters[1].grad = torch.zeros_like(parameters[1])
    BatchedMuon(parameters, lr=0.1, weight_decay=0.0).step()
    assert all(torch.equal(own, old) for own, old in zip(parameters, before, strict=True))
