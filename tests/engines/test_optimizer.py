import copy

import torch
from torch import nn

from bundle.engines.optimizer import MuonWithAdamW


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def step(model, optimizer, seed):
    torch.manual_seed(seed)
    loss = (model(torch.randn(16, 6)) - 1).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss)


def test_matrices_go_to_muon_and_the_rest_to_adamw():
    optimizer = MuonWithAdamW(network().parameters())
    kinds = [type(part).__name__ for part in optimizer.parts]
    assert kinds == ["BatchedMuon", "AdamW"]
    assert {p.ndim for group in optimizer.parts[0].param_groups for p in group["params"]} == {2}


def test_it_fits():
    model = network()
    optimizer = MuonWithAdamW(model.parameters(), lr=0.02)
    losses = [step(model, optimizer, seed) for seed in range(60)]
    assert losses[-1] < 0.3 * losses[0]


def test_a_scheduler_changes_the_rate_of_both_parts():
    optimizer = MuonWithAdamW(network().parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    optimizer.step()
    scheduler.step()
    assert [group["lr"] for part in optimizer.parts for group in part.param_groups] == [0.5, 0.5]


def test_restored_state_goes_on_exactly():
    model = network()
    optimizer = MuonWithAdamW(model.parameters())
    for seed in range(3):
        step(model, optimizer, seed)
    other = network()
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    restored = MuonWithAdamW(other.parameters())
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for seed in range(3, 6):
        assert step(model, optimizer, seed) == step(other, restored, seed)


def test_matrices_alone_are_decayed_and_a_closure_may_ask_for_gradients():
    model = network()
    optimizer = MuonWithAdamW(model.parameters(), weight_decay=0.3)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]
    assert optimizer.param_groups[0]["adjust_lr_fn"] == "match_rms_adamw"

    def closure():
        loss = model(torch.ones(2, 6)).square().mean()
        loss.backward()
        return loss

    assert float(optimizer.step(closure)) > 0
