import numpy as np
import pytest
import torch

from bundle.engines.inferer import AutocastInferer
from bundle.evaluation.subsets import r2_of_subsets, standardised_moves
from tests.small_networks import small_network


def test_moves_are_measured_by_what_further_maps_teach():
    torch.manual_seed(0)
    variances = torch.tensor([[0.5], [0.2]]).expand(2, 20_000)
    codes = torch.zeros(2, 20_000)
    codes[1] = codes[0] + torch.randn(20_000) * 0.3**0.5
    moved = standardised_moves(codes, variances)
    assert moved[0] == pytest.approx(1, abs=0.03) and np.isnan(moved[1])


@pytest.mark.parametrize("progress", [True, False])
def test_a_bar_is_shown_if_it_is_wanted(capsys, progress):
    network = small_network(["FA", "JAC"]).eval()
    images = torch.rand(2, 2, 32, 32, 24) + 1
    network.fit_to_images(lambda: iter(images))
    people = [{"image": image} for image in images]
    r2_of_subsets(network, AutocastInferer(amp=False), people, ["a", "b"], torch.device("cpu"), progress)
    assert ("Subsets" in capsys.readouterr().err) == progress
