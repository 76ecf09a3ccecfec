import pytest
import torch

from bundle.trained.encoder_hash import encoder_hash
from custom_nets import FoldedFusionAutoencoder


def test_hash_follows_the_encoder_not_the_decoder():
    network = FoldedFusionAutoencoder(["FA"], (32, 32, 24), (8, 16), (1, 1))
    before = encoder_hash(network)
    with torch.no_grad():
        network.decoders[0].levels[0][0].weight += 1
    assert encoder_hash(network) == before
    with torch.no_grad():
        network.encoders[0].levels[0][0].weight += 1
    assert encoder_hash(network) != before


@pytest.mark.parametrize("name", ["scaling.gain", "scaling.mean_image", "scaling.brain_mask", "fusion"])
def test_hash_follows_whatever_codes_depend_on(name):
    network = FoldedFusionAutoencoder(["FA"], (32, 32, 24), (8, 16), (1, 1))
    before = encoder_hash(network)
    (tensor, *_) = [value for key, value in network.state_dict().items() if key.startswith(name)]
    with torch.no_grad():
        tensor += 1
    assert encoder_hash(network) != before
