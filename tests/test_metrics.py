import pytest
import torch

from bundle.metrics import ReconstructionSkill, skill_metrics
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


def test_skill_is_one_for_the_image_and_zero_for_the_mean_image(network, images):
    metric = ReconstructionSkill(network)
    metric.update((images, images))
    assert metric.compute() == 1
    metric.reset()
    metric.update((network.scaling.mean_image.expand_as(images), images))
    assert metric.compute() == pytest.approx(0, abs=1e-6)


def test_skill_of_batches_is_that_of_all_people_at_once(network, images):
    drawn = images + 0.3 * torch.randn_like(images)
    whole, parts = ReconstructionSkill(network), ReconstructionSkill(network)
    whole.update((drawn, images))
    parts.update((drawn[:2], images[:2]))
    parts.update((drawn[2:], images[2:]))
    assert whole.compute() == pytest.approx(parts.compute())


def test_skill_has_one_metric_per_modality_and_their_mean(network, images):
    drawn = images.clone()
    drawn[:, 1] += 0.1
    named = skill_metrics(network) | {"skill": ReconstructionSkill(network)}
    for metric in named.values():
        metric.update((drawn, images))
    values = {name: metric.compute() for name, metric in named.items()}
    assert values["skill_T1w"] == 1 and values["skill_FA"] < 1
    assert values["skill"] == pytest.approx((values["skill_T1w"] + values["skill_FA"]) / 2)
