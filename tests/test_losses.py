import pytest
import torch

from bundle.losses import ReconstructionLoss
from custom_nets import PaperFusionAutoencoder
from tests.small_networks import small_network


@pytest.fixture
def images():
    torch.manual_seed(0)
    volumes = torch.rand(6, 2, 32, 32, 24) * torch.tensor([1.0, 50.0]).view(2, 1, 1, 1) + 1
    volumes[..., 0] = 0
    return volumes


def network(images, scaling="residual"):
    if scaling == "residual":
        built = small_network()
    else:
        built = PaperFusionAutoencoder(["T1w", "FA"], (32, 32, 24), (4, 8, 32), (3, 3, 3))
    built.fit_to_images(lambda: iter(images))
    return built


@pytest.mark.parametrize("kind", ["mse", "l1"])
def test_perfect_reconstruction_costs_nothing(images, kind):
    assert ReconstructionLoss(network(images), kind)(images, images) == 0


def test_mean_image_costs_one_whatever_the_units(images):
    built = network(images)
    loss = ReconstructionLoss(built)(built.scaling.mean_image.expand_as(images), images)
    assert loss == pytest.approx(1.0, abs=0.02)


def test_background_does_not_count(images):
    changed = images.clone()
    changed[..., 0] = 1e6
    assert ReconstructionLoss(network(images))(changed, images) == 0


def test_weights_choose_what_counts(images):
    built = network(images)
    half_wrong = images.clone()
    half_wrong[:, 1] += 1
    assert ReconstructionLoss(built, modality_weights={"T1w": 1, "FA": 0, "NDI": 5})(half_wrong, images) == 0


def test_cross_entropy_is_least_at_the_image(images):
    built = network(images, "min_max")
    loss = ReconstructionLoss(built, "bce")
    assert loss(images, images) < loss(built.scaling.mean_image.expand_as(images), images)


def test_cross_entropy_is_summed_over_maps_and_averaged_over_brain_voxels(images):
    built = network(images, "min_max")
    drawn = built.scaling.mean_image.expand_as(images)
    inside = built.scaling.brain_mask > 0
    scaled, target = (built.scaling(one).clamp(0, 1)[:, :, inside] for one in (drawn, images))
    each = [torch.nn.functional.binary_cross_entropy(scaled[:, m], target[:, m]) for m in range(2)]
    torch.testing.assert_close(ReconstructionLoss(built, "bce")(drawn, images), each[0] + each[1])


def test_cross_entropy_is_refused_where_outputs_are_not_squashed(images):
    with pytest.raises(ValueError, match="outputs in"):
        ReconstructionLoss(small_network(), "bce")


def test_absent_maps_count_for_nothing_and_have_no_gradient(images):
    built = network(images)
    partly = images.clone()
    partly[1, 1] = torch.nan
    drawn = (images + 1).requires_grad_()
    loss = ReconstructionLoss(built)(drawn, partly)
    loss.backward()
    inside = built.scaling.brain_mask > 0
    expected = torch.stack([built.scaling.inverse_gain[m, inside].square().mean() for m in range(2)]).mean()
    torch.testing.assert_close(loss.detach(), expected)
    assert drawn.grad.isfinite().all() and not drawn.grad[1, 1].any() and drawn.grad[0, 1].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "ssim"}, "Expected --loss"),
        ({"kind": "bce"}, "min_max"),
        ({"modality_weights": {"T1w": 1}}, "weight of 0 or more for FA"),
    ],
)
def test_bad_arguments_are_refused_in_words(images, arguments, message):
    with pytest.raises(ValueError, match=message):
        ReconstructionLoss(network(images), **arguments)
