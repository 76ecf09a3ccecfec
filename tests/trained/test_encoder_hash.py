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
