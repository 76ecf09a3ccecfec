import numpy as np
import pytest
import torch

from bundle.evaluation.person_metrics import ContrastToNoiseRatio, MaskedMSE, NormalisedDifference, StructuralSimilarity

GRID = (32, 32, 24)


@pytest.fixture(scope="module")
def images():
    torch.manual_seed(0)
    return torch.rand(5, 2, *GRID) + 1


def aggregate(metric, drawn, images):
    metric(drawn, images)
    return metric.aggregate().numpy()


def test_masked_mse_is_per_person_and_modality_in_scaled_units(images):
    drawn = images.clone()
    drawn[2, 1] += 4
    value = aggregate(MaskedMSE(torch.tensor([1.0, 0.5]).view(2, 1, 1, 1).expand(2, *GRID)), drawn, images)
    expected = np.zeros((5, 2))
    expected[2, 1] = 4
    assert np.allclose(value, expected, atol=1e-5)


def test_masked_mse_sees_the_mask_only(images):
    mask = torch.zeros(GRID)
    mask[:8] = 1
    drawn = images.clone()
    drawn[:, :, 8:] += 1
    assert np.allclose(aggregate(MaskedMSE(torch.ones(2, *GRID), mask), drawn, images), 0)


def test_normalised_difference_of_nothing_is_one(images):
    assert np.allclose(aggregate(NormalisedDifference(torch.ones(GRID)), 0 * images, images), 1)


def test_contrast_to_noise_ratio_is_one_for_the_image_and_doubles_at_half_the_noise():
    torch.manual_seed(0)
    grey, white = torch.zeros(GRID, dtype=torch.bool), torch.zeros(GRID, dtype=torch.bool)
    grey[:16], white[16:] = True, True
    contrast = torch.where(white, 10.0, 0.0).expand(1, 1, *GRID)
    noise = torch.randn(1, 1, *GRID)
    metric = ContrastToNoiseRatio(grey, white, [True])
    assert np.allclose(aggregate(metric, contrast + noise, contrast + noise), 1)
    metric.reset()
    assert np.allclose(aggregate(metric, contrast + 0.5 * noise, contrast + noise), 2, rtol=0.02)


def test_structural_similarity_is_one_for_the_image_and_less_for_noise(images):
    metric = StructuralSimilarity(images.mean(0), torch.ones(GRID))
    assert np.allclose(aggregate(metric, images, images), 1)
    metric.reset()
    assert (aggregate(metric, images + 0.3 * torch.randn_like(images), images) < 0.95).all()


def test_similarity_does_not_grow_with_the_background(images):
    noise = 0.3 * torch.randn_like(images)
    values = []
    for margin in (0, 20):
        padding = [margin] * 6
        padded, noisy = (torch.nn.functional.pad(volume, padding) for volume in (images, images + noise))
        mask = torch.nn.functional.pad(torch.ones(GRID), padding)
        metric = StructuralSimilarity(padded.mean(0), mask)
        metric.span = torch.ones(2)
        values.append(aggregate(metric, noisy, padded).mean())
    # windows at the edge of the brain reach over it; the mean over the grid would go from 0.65 to 0.98
    assert abs(values[0] - values[1]) < 0.12


def test_maps_without_tissue_have_no_contrast_ratio(images):
    halves = torch.zeros(GRID, dtype=torch.bool)
    halves[:16] = True
    value = aggregate(ContrastToNoiseRatio(halves, ~halves, [True, False]), images, images)
    assert np.isfinite(value[:, 0]).all() and np.isnan(value[:, 1]).all()
