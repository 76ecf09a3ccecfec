import copy

import pytest
import torch
from sklearn.decomposition import PCA

from bundle.evaluation.subsets import standardised_moves
from custom_nets import closed_form_values, size_table
from custom_nets.presence import every_subset
from custom_nets.refined_linear_autoencoder import fold_of_family
from tests.custom_nets.conftest import FAMILIES, small
from tests.custom_nets.planted import planted_images, without

FOLDS = torch.tensor([fold_of_family(family, 3) for family in FAMILIES])


@pytest.fixture
def refined(network):
    """A copy whose refiner does something, as after training."""
    network = copy.deepcopy(network)
    torch.manual_seed(5)
    for parameter in network.refiner.head.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return network


def r2(network, reconstructions, images):
    """In the brain, of what is not in the mean image."""
    inside = network.scaling.brain_mask > 0
    errors, totals = (images - one for one in (reconstructions, network.scaling.mean_image))
    return 1 - float(errors[..., inside].square().sum() / totals[..., inside].square().sum())


@torch.no_grad()
def test_an_untrained_network_is_the_orthogonal_projection_onto_its_axes(network, held_out):
    embeddings = network.encode(held_out)
    again = network.encode(network.decode(embeddings))
    # axes are stored in 16 bits
    torch.testing.assert_close(again, embeddings, rtol=0, atol=1e-3 * float(embeddings.abs().max()))
    scaled = network.scaling(held_out).flatten(1)
    drawn = network.scaling(network(held_out)).flatten(1)
    left = ((scaled - drawn) * drawn).sum(dim=1) / drawn.square().sum(dim=1)
    torch.testing.assert_close(left, torch.zeros(12), rtol=0, atol=1e-3)


@torch.no_grad()
def test_local_anatomy_is_reconstructed_better_than_by_as_many_principal_components(network, training, held_out):
    inside = network.scaling.brain_mask > 0
    drawn = network.scaling.mean_image.expand_as(held_out).clone()
    per_modality = min(len(training) - 1, network.embedding_size // 3)
    for number in range(3):
        components = PCA(per_modality).fit(training[:, number, inside].numpy())
        own = components.inverse_transform(components.transform(held_out[:, number, inside].numpy()))
        drawn[:, number, inside] = torch.from_numpy(own)
    assert r2(network, network(held_out), held_out) > r2(network, drawn, held_out) + 0.1


@torch.no_grad()
def test_participants_are_trained_on_embeddings_that_know_them_no_better_than_others(network, training, held_out):
    in_sample = r2(network, network(training), training)
    cross_fitted = r2(network, network(training, FOLDS), training)
    new = r2(network, network(held_out), held_out)
    assert len(network.cross_fitted) == 3 and cross_fitted < in_sample
    assert abs(cross_fitted - new) < in_sample - cross_fitted


@torch.no_grad()
def test_participants_of_a_batch_get_the_embedding_that_leaves_their_own_family_out(refined, training):
    together = refined(training[:6], FOLDS[:6])
    alone = torch.cat([refined(training[n : n + 1], FOLDS[n : n + 1]) for n in range(6)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_a_family_is_in_one_fold():
    assert len({fold_of_family(f"family{number}", 3) for number in range(50)}) == 3
    assert {fold_of_family("family1", 3) for _ in range(5)} == {fold_of_family("family1", 3)}


@torch.no_grad()
def test_the_embedding_comes_nearer_as_modalities_are_added_and_uncertainty_falls(network, held_out):
    complete = network.encode(held_out)
    apart, uncertainty = {}, {}
    for subset in every_subset(3):
        absent = torch.nonzero(~subset)[:, 0].tolist()
        images, key = without(held_out, *absent), tuple(subset.tolist())
        apart[key] = float((network.encode(images) - complete).square().mean())
        uncertainty[key] = network.uncertainty(images)
        assert uncertainty[key].shape == complete.shape
    for small_one in apart:
        for large in apart:
            if small_one != large and all(b or not a for a, b in zip(small_one, large, strict=True)):
                assert apart[large] < apart[small_one], (small_one, large)
                assert (uncertainty[large] <= uncertainty[small_one] + 1e-5).all(), (small_one, large)
    assert (uncertainty[True, True, True] == 0).all() and (uncertainty[True, True, False] > 0).all()


@torch.no_grad()
def test_embeddings_move_about_as_far_as_their_uncertainty_says(network, held_out):
    complete = network.encode(held_out)
    for absent in ((1, 2), (0, 1), (2,), (0,)):
        images = without(held_out, *absent)
        pairs = zip(network.encode(images), complete, network.uncertainty(images), strict=True)
        moves = [standardised_moves(torch.stack(c), torch.stack([u**2, 0 * u]))[0] for *c, u in pairs]
        assert 0.5 < sum(moves) / len(moves) < 2.5, absent


@torch.no_grad()
def test_absent_modalities_are_reconstructed_from_what_others_share(network, held_out):
    drawn = network(without(held_out, 1))
    inside = network.scaling.brain_mask > 0
    errors = (drawn - held_out)[:, 1, inside].square().sum()
    assert errors < 0.4 * (network.scaling.mean_image - held_out)[:, 1, inside].square().sum()


@torch.no_grad()
def test_a_batch_of_one_is_like_a_batch_of_n_whoever_lacks_what(refined, held_out):
    images = held_out[:4].clone()
    images[1, 0], images[2, 1:] = torch.nan, torch.nan
    together = refined.encode(images), refined(images), refined.uncertainty(images)
    for number in range(4):
        one = images[number : number + 1]
        alone = refined.encode(one), refined(one), refined.uncertainty(one)
        for expected, found in zip(together, alone, strict=True):
            torch.testing.assert_close(found[0], expected[number], rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_strict_bottleneck_decodes_from_the_embedding_alone(refined, held_out):
    torch.testing.assert_close(refined.decode(refined.encode(held_out)), refined(held_out))


@torch.no_grad()
def test_a_reloaded_network_is_the_saved_one_and_no_size_follows_from_the_fit(refined, held_out):
    fresh = small()
    shapes = [{name: value.shape for name, value in one.state_dict().items()} for one in (fresh, refined)]
    assert shapes[0] == shapes[1]  # MONAI's load copies what has the same shape and leaves the rest
    fresh.load_state_dict(refined.state_dict())
    images = without(held_out, 2)
    assert torch.equal(fresh.eval()(held_out), refined(held_out))
    assert torch.equal(fresh.encode(images), refined.encode(images))
    assert torch.equal(fresh.uncertainty(images), refined.uncertainty(images))


@torch.no_grad()
def test_loading_other_weights_forgets_what_was_worked_out_of_the_first(refined, held_out):
    images = without(held_out[:2], 2)
    before = refined.encode(images)
    state = refined.state_dict()
    refined.load_state_dict({**state, "linear.noise": 4 * state["linear.noise"]})
    assert not torch.allclose(refined.encode(images), before)


@torch.no_grad()
def test_scripted_and_exported_graphs_give_the_eager_values(refined, held_out):
    images = held_out[:2]
    refined.encode(without(images, 1))  # a network that has been in use can be exported too
    scripted = torch.jit.script(refined)
    torch.testing.assert_close(scripted(images), refined(images), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(scripted.encode(images), refined.encode(images), rtol=1e-4, atol=1e-4)
    exported = torch.export.export(refined, (images,)).module()
    torch.testing.assert_close(exported(images), refined(images), rtol=1e-4, atol=1e-4)


def test_only_the_refiner_is_trained(network, training):
    names = {name for name, _ in network.named_parameters()}
    assert names and all(name.startswith("refiner.") for name in names)
    trained = copy.deepcopy(network).train()
    (trained(training[:2], FOLDS[:2]) - training[:2]).square().mean().backward()
    assert all(parameter.grad is not None for parameter in trained.parameters())


def test_training_the_refiner_improves_what_a_linear_embedding_cannot_do(training, held_out):
    def bent(images):
        """Where one is above its mean, it is further above: no linear embedding can give that back."""
        return images + 0.6 * (images - mean).clamp_min(0)

    mean = training.mean(dim=0)
    training, held_out = bent(training), bent(held_out)
    network = small(embedding_size=48, n_cross_fits=0)
    network.fit_to_images(lambda: iter(training), FAMILIES)
    with torch.no_grad():
        before = r2(network, network(held_out), held_out)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    inside = network.scaling.brain_mask > 0
    for step in range(30):
        rows = training[step % 6 * 4 :][:4]
        loss = (network.scaling(network(rows)) - network.scaling(rows))[..., inside].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        assert r2(network, network(held_out), held_out) > before


def test_values_in_closed_form_are_counted_beside_trained_ones(network):
    expected = 300 * 3 * 8**3 + 300 * 96  # components of a block's voxels, and axes of components
    assert closed_form_values(network) == closed_form_values(small()) == expected
    assert f"{expected:,}" in size_table(network)


def test_fitting_again_gives_the_same_network(training):
    networks = [small(n_cross_fits=0) for _ in range(2)]
    for one in networks:
        one.fit_to_images(lambda: iter(training), FAMILIES)
    first, second = (one.linear.state_dict() for one in networks)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_incomplete_participants_count_for_the_scaling_alone(training, network):
    partly = torch.cat([training, without(planted_images(3, first=50), 1)])
    other = small()
    other.fit_to_images(lambda: iter(partly), [*FAMILIES, "a", "b", "c"])
    assert int(other.scaling.n_fitted) == 27
    torch.testing.assert_close(other.scaling.mean_image[1], training[:, 1].mean(dim=0), rtol=1e-4, atol=1e-4)
    assert other.linear.axes.shape == network.linear.axes.shape


@pytest.mark.parametrize("n_complete", [0, 1])
def test_too_few_complete_participants_are_refused_with_their_number(training, n_complete):
    others = zip(training[n_complete:].split(1), (0, 1, 2) * 8, strict=False)
    images = torch.cat([training[:n_complete], *(without(image, absent) for image, absent in others)])
    with pytest.raises(ValueError, match=rf"all of T1w, FA, NDI .* got {n_complete}"):
        small().fit_to_images(lambda: iter(images), FAMILIES)


def test_a_network_that_nothing_was_fitted_for_gives_the_mean_image(held_out):
    network = small().eval()
    with torch.no_grad():
        assert not network.encode(held_out).any() and network.encode(held_out).shape == (12, 96)
        assert not network.decode(torch.ones(1, 96)).any()
