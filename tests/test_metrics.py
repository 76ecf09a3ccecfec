import pytest
import torch

from bundle.metrics import ReconstructionR2, r2_metrics
from tests.small_networks import small_network

GRID = (32, 32, 24)


@pytest.fixture(scope="module")
def images():
    torch.manual_seed(0)
    return torch.rand(5, 2, *GRID) + 1


@pytest.fixture(scope="module")
def network(images):
    built = small_network()
    built.fit_to_images(lambda: iter(images))
    return built


def test_r2_is_one_for_the_image_and_zero_for_the_mean_image(network, images):
    metric = ReconstructionR2(network)
    metric.update((images, images))
    assert metric.compute() == 1
    metric.reset()
    metric.update((network.scaling.mean_image.expand_as(images), images))
    assert metric.compute() == pytest.approx(0, abs=1e-6)


def test_r2_of_batches_is_that_of_all_people_at_once(network, images):
    drawn = images + 0.3 * torch.randn_like(images)
    whole, parts = ReconstructionR2(network), ReconstructionR2(network)
    whole.update((drawn, images))
    parts.update((drawn[:2], images[:2]))
    parts.update((drawn[2:], images[2:]))
    assert whole.compute() == pytest.approx(parts.compute())


def test_r2_has_one_metric_per_modality_and_their_mean(network, images):
    drawn = images.clone()
    drawn[:, 1] += 0.1
    named = r2_metrics(network) | {"r2": ReconstructionR2(network)}
    for metric in named.values():
        metric.update((drawn, images))
    values = {name: metric.compute() for name, metric in named.items()}
    assert values["r2_T1w"] == 1 and values["r2_FA"] < 1
    assert values["r2"] == pytest.approx((values["r2_T1w"] + values["r2_FA"]) / 2)
