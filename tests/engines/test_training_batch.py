from collections import Counter

import pytest
import torch

from bundle.data.problems import InputProblems
from bundle.engines.training_batch import PrepareTrainingBatch
from custom_nets import PaperFusionAutoencoder
from custom_nets.presence import every_subset, modalities_present
from custom_nets.refined_linear_autoencoder import fold_of_family
from tests.small_networks import GRID, small_network

MODALITIES = ["T1w", "FA", "JAC"]
ALL = (True, True, True)


def hidden_subsets(dropout, present=ALL, people=4000):
    """Which modalities stay -> participants."""
    torch.manual_seed(0)
    images = torch.zeros(people, 3, 1, 1, 1)
    images[:, ~torch.tensor(present)] = torch.nan
    hide = PrepareTrainingBatch(small_network(MODALITIES), 0, dropout).hide
    return Counter(tuple(row) for row in modalities_present(hide(images)).tolist())


def batch(images):
    return {"image": images, "family_id": [f"family{number}" for number in range(len(images))]}


def test_half_keep_everything_and_the_rest_is_spread_evenly():
    counts = hidden_subsets(0.5)
    assert set(counts) == {tuple(row) for row in every_subset(3).tolist()}  # never nothing
    assert counts[ALL] == pytest.approx(2000, abs=150)
    assert [counts[subset] for subset in counts if subset != ALL] == pytest.approx([2000 / 6] * 6, abs=80)


def test_modalities_that_are_absent_stay_absent():
    given = (True, False, True)
    assert set(hidden_subsets(0.5, given)) == {given, (True, False, False), (False, False, True)}
    assert set(hidden_subsets(0.9, (False, False, True))) == {(False, False, True)}


def test_the_target_keeps_what_is_hidden_from_the_input():
    torch.manual_seed(0)
    images = torch.rand(40, 3, *GRID)
    inputs, target, *_ = PrepareTrainingBatch(small_network(MODALITIES), 0, 0.9)(batch(images))
    assert torch.equal(target, images)
    there = modalities_present(inputs)
    assert not there.all() and torch.equal(inputs[there], images[there])


def test_without_dropout_nothing_is_hidden_and_no_random_number_is_taken():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert set(hidden_subsets(0.0)) == {ALL}
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), before)


def test_nothing_is_hidden_from_a_network_that_needs_everything():
    network = PaperFusionAutoencoder(MODALITIES, GRID, (4, 8, 32), (3, 3, 3))
    images = torch.rand(20, 3, *GRID)
    inputs, target, positional, named = PrepareTrainingBatch(network, 1.0, 0.9)(batch(images))
    assert torch.equal(inputs, images) and torch.equal(target, images) and not positional and not named


def test_participants_go_with_the_fold_that_their_family_was_left_out_of():
    network = small_network(MODALITIES, n_cross_fits=3)
    *_, named = PrepareTrainingBatch(network, 0)(batch(torch.rand(5, 3, *GRID)))
    assert named["folds"].tolist() == [fold_of_family(f"family{number}", 3) for number in range(5)]


@pytest.mark.parametrize("plane", [31, 28, 34])
def test_a_mirrored_image_has_left_and_right_exchanged_and_the_mean_image_where_nothing_is(plane):
    network = small_network(MODALITIES)
    network.mirror.fill_(plane)
    network.scaling.mean_image.fill_(7)
    images = torch.rand(2, 3, *GRID)
    images[0, 1] = torch.nan
    mirrored = PrepareTrainingBatch(network, 1.0).mirror(images)
    for i in range(32):
        expected = images[:, :, plane - i] if 0 <= plane - i < 32 else torch.full_like(images[:, :, 0], 7)
        expected = expected.masked_fill(images[:, :, 0].isnan(), torch.nan)
        torch.testing.assert_close(mirrored[:, :, i], expected, rtol=0, atol=0, equal_nan=True)
    inside = slice(max(0, plane - 31), min(31, plane) + 1)
    twice = PrepareTrainingBatch(network, 1.0).mirror(mirrored)
    torch.testing.assert_close(twice[:, :, inside], images[:, :, inside], equal_nan=True)


def test_a_share_of_batches_is_mirrored_and_input_and_target_alike():
    network = small_network(MODALITIES)
    network.mirror.fill_(31)
    images = torch.rand(1, 3, *GRID)
    prepare = PrepareTrainingBatch(network, 0.5)
    torch.manual_seed(0)
    pairs = [prepare(batch(images))[:2] for _ in range(60)]
    assert all(torch.equal(inputs, target) for inputs, target in pairs)
    changed = sum(not torch.equal(inputs, images) for inputs, _ in pairs)
    assert 18 <= changed <= 42


def test_without_a_plane_of_symmetry_nothing_is_mirrored():
    images = torch.rand(2, 3, *GRID)
    assert torch.equal(PrepareTrainingBatch(small_network(MODALITIES), 1.0).mirror(images), images)


@pytest.mark.parametrize(
    ("name", "share"),
    [
        *[("modality_dropout", share) for share in (1, -0.1, "0.5x", float("nan"))],
        *[("mirroring", share) for share in (1.1, -0.1, "0.5x", float("nan"))],
    ],
)
def test_other_shares_are_refused(name, share):
    with pytest.raises(InputProblems, match=f"--{name}: expected a share"):
        PrepareTrainingBatch(small_network(MODALITIES), **{name: share})
