import numpy as np
import pytest
import torch

from bundle.evaluation.subsets import standardised_moves


def test_moves_are_measured_by_what_further_maps_teach():
    torch.manual_seed(0)
    variances = torch.tensor([[0.5], [0.2]]).expand(2, 20_000)
    codes = torch.zeros(2, 20_000)
    codes[1] = codes[0] + torch.randn(20_000) * 0.3**0.5
    moved = standardised_moves(codes, variances)
    assert moved[0] == pytest.approx(1, abs=0.03) and np.isnan(moved[1])
