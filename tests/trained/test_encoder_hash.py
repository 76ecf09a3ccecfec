import pytest
import torch

from bundle.trained.encoder_hash import encoder_hash
from tests.small_networks import small_network


@pytest.fixture
def network():
    torch.manual_seed(0)
    network, images = small_network(["FA"]), torch.rand(4, 1, 32, 32, 24) + 1
    network.fit_to_images(lambda: iter(images))
    return network


def test_hash_is_not_that_of_what_reconstructs(network):
    before = encoder_hash(network)
    with torch.no_grad():
        network.refiner.head.weight += 1
    assert encoder_hash(network) == before


@pytest.mark.parametrize(
    "name",
    [
        "scaling.factor",
        "scaling.mean_image",
        "scaling.brain_mask",
        "linear.bases",
        "linear.axes",
        "linear.variances",
        "linear.noise",
    ],
)
def test_hash_follows_whatever_embeddings_depend_on(network, name):
    before = encoder_hash(network)
    network.state_dict()[name].add_(1)
    assert encoder_hash(network) != before
