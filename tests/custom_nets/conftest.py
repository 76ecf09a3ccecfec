"""One fitted network for all tests of it; they must not change it."""

import pytest

from tests.custom_nets.planted import MODALITIES, planted_images
from tests.small_networks import small_network

FAMILIES = [f"family{number // 2}" for number in range(24)]


def small(**changes):
    return small_network(MODALITIES, **{"embedding_size": 96, "n_components": 300, "n_cross_fits": 3, **changes})


@pytest.fixture(scope="package")
def training():
    """`(24, 3, 32, 32, 24)` images of the participants whom the network is fitted on, two a family."""
    return planted_images(24)


@pytest.fixture(scope="package")
def held_out():
    """`(12, 3, 32, 32, 24)` images of others with the same planted anatomy."""
    return planted_images(12, first=100)


@pytest.fixture(scope="package")
def network(training):
    """Fitted on `training`, its refiner untrained."""
    network = small()
    network.fit_to_images(lambda: iter(training), FAMILIES)
    return network.eval()
