from collections import Counter

import pytest
import torch
from bundle.engines.modality_dropout import PrepareTrainingBatch
from custom_nets.fusion import maps_present, subset_numbers

from bundle.data.problems import InputProblems
from custom_nets import FoldedFusionAutoencoder, PaperFusionAutoencoder

MAPS = ["T1w", "FA", "JAC"]


def network(fusion="mean"):
    return FoldedFusionAutoencoder(MAPS, (32, 32, 24), (8, 16), (1, 1), fusion=fusion)


def hidden_subsets(dropout, present=(True, True, True), people=4000):
    torch.manual_seed(0)
    images = torch.zeros(people, 3, 1, 1, 1)
    images[:, ~torch.tensor(present)] = torch.nan
    hide = PrepareTrainingBatch(network(), 0, dropout).hide
    return Counter(subset_numbers(maps_present(hide(images))).tolist())


def test_half_keep_everything_and_the_rest_is_spread_evenly():
    counts = hidden_subsets(0.5)
    assert set(counts) == set(range(1, 8))  # never nothing
    assert counts[7] == pytest.approx(2000, abs=150)
    for number in range(1, 7):
        assert counts[number] == pytest.approx(2000 / 6, abs=80)


def test_maps_that_are_absent_stay_absent():
    assert set(hidden_subsets(0.5, (True, False, True))) == {0b001, 0b100, 0b101}
    assert set(hidden_subsets(0.9, (False, False, True))) == {0b100}


def test_the_target_keeps_what_is_hidden_from_the_input():
    torch.manual_seed(0)
    images = torch.rand(40, 3, 32, 32, 24)
    inputs, target = PrepareTrainingBatch(network(), 0, 0.9)({"image": images})
    assert torch.equal(target, images)
    assert not maps_present(inputs).all() and maps_present(target).all()
    there = maps_present(inputs)
    assert torch.equal(inputs[there], images[there])


def test_without_dropout_nothing_is_hidden():
    assert set(hidden_subsets(0.0)) == {7}


@pytest.mark.parametrize("dropout", [1, -0.1, "0.5x", float("nan")])
def test_other_shares_are_refused(dropout):
    with pytest.raises(InputProblems, match="share of people"):
        PrepareTrainingBatch(network(), 0, dropout)


@pytest.mark.parametrize(
    "needs_all", [lambda: network("concat"), lambda: PaperFusionAutoencoder(MAPS, (32, 32, 24), (4, 8, 32))]
)
def test_a_network_that_needs_every_map_is_refused(needs_all):
    with pytest.raises(InputProblems, match="--fusion mean"):
        PrepareTrainingBatch(needs_all(), 0, 0.5)


def test_a_blend_has_the_maps_that_both_have():
    images = torch.rand(2, 3, 32, 32, 24)
    images[0, 1] = torch.nan
    blended = PrepareTrainingBatch(network(), 1, 0).mix(images)
    assert maps_present(blended).tolist() == [[True, False, True]] * 2
