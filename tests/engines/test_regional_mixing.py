import pytest
import torch

from bundle.engines.regional_mixing import PrepareMixedBatch
from custom_nets import FoldedFusionAutoencoder
from custom_nets.fusion import maps_present


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = FoldedFusionAutoencoder(["FA", "JAC"], (32, 32, 24), (8, 16), (1, 1))
    images = torch.rand(6, 2, 32, 32, 24) + 1
    network.fit_to_images(lambda: iter(images))
    return network


def test_blend_keeps_the_variance_of_residuals_and_their_relation_between_maps(network):
    torch.manual_seed(1)
    residual = torch.randn(400, 1, 32, 32, 24)
    images = network.scaling.mean_image + torch.cat([residual, 2 * residual], dim=1)
    blended = PrepareMixedBatch(network, share=1.0).mix(images) - network.scaling.mean_image
    assert torch.allclose(blended[:, 1], 2 * blended[:, 0], atol=1e-4)
    assert blended[:, 0].var().item() == pytest.approx(1, abs=0.01)


def test_weights_are_those_of_an_angle_and_vary_smoothly(network):
    mean = network.scaling.mean_image
    images = torch.stack([mean + 1, mean - 1, mean + 1])
    blended = PrepareMixedBatch(network, share=1.0).mix(images) - mean
    assert blended.abs().max() <= 2**0.5 + 1e-4
    steps = blended.diff(dim=2).abs().max()
    assert 0 < steps < 0.25


def test_share_says_how_many_batches_are_blended_and_input_is_target(network):
    batch = {"image": torch.rand(3, 2, 32, 32, 24) + 1}
    torch.manual_seed(0)
    prepare = PrepareMixedBatch(network, share=0.5)
    pairs = [prepare(batch) for _ in range(60)]
    assert all(image is target for image, target in pairs)
    changed = sum(not torch.equal(image, batch["image"]) for image, _ in pairs)
    assert 18 <= changed <= 42
    assert torch.equal(PrepareMixedBatch(network, share=0.0)(batch)[0], batch["image"])


def test_share_out_of_range_is_refused(network):
    with pytest.raises(ValueError, match="share of batches"):
        PrepareMixedBatch(network, share=2)


def test_a_person_alone_stays_as_they_are(network):
    image = torch.rand(1, 2, 32, 32, 24)
    assert torch.equal(PrepareMixedBatch(network, share=1.0).mix(image), image)


def test_people_who_share_no_map_stay_as_they_are(network):
    images = torch.rand(3, 2, 32, 32, 24) + 1
    images[0, 1] = images[1, 0] = torch.nan  # one has FA alone, the next JAC alone
    blended = PrepareMixedBatch(network, share=1.0).mix(images)
    assert torch.equal(blended[1].nan_to_num(-1), images[1].nan_to_num(-1))
    assert all(maps_present(blended).any(dim=1)) and not torch.equal(blended[2], images[2])
