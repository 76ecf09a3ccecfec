import pytest
import torch

from custom_nets.image_scaling import ImageScaling

GRID = (6, 6, 6)


def images_with_background(n=5):
    torch.manual_seed(0)
    images = torch.rand(n, 2, *GRID) + torch.tensor([1.0, 100.0]).view(2, 1, 1, 1)
    images[:, :, 0] = 0
    return images


@pytest.mark.parametrize("kind", ["residual", "min_max"])
def test_scaling_and_back_is_the_image_inside_the_brain(kind):
    images = images_with_background()
    scaling = ImageScaling(kind, 2, GRID)
    scaling.fit(lambda: iter(images))
    assert scaling.brain_mask[0].sum() == 0 and scaling.brain_mask[1:].all()
    torch.testing.assert_close(scaling.inverse(scaling(images)), images)


def test_residual_scaling_makes_modalities_comparable():
    images = images_with_background(40)
    images[:, 1] *= 50
    scaling = ImageScaling("residual", 2, GRID)
    scaling.fit(lambda: iter(images))
    sizes = scaling(images)[:, :, 1:].square().mean(dim=(0, 2, 3, 4))
    torch.testing.assert_close(sizes, torch.ones(2), rtol=0.05, atol=0)


def test_min_max_scaling_spans_zero_to_one_on_training_images_and_does_not_clip_others():
    images = images_with_background()
    scaling = ImageScaling("min_max", 2, GRID)
    scaling.fit(lambda: iter(images))
    scaled = scaling(images)
    assert scaled.min() == 0 and abs(float(scaled.max()) - 1) < 1e-4
    assert scaling(images * 3).max() > 1


def test_scaling_one_subject_uses_the_training_fit_not_the_subject():
    images = images_with_background()
    scaling = ImageScaling("min_max", 2, GRID)
    scaling.fit(lambda: iter(images))
    torch.testing.assert_close(scaling(images[:1]), scaling(images)[:1])


def test_one_outlier_subject_does_not_set_the_scale():
    images = images_with_background(21)
    before, after = ImageScaling("residual", 2, GRID), ImageScaling("residual", 2, GRID)
    before.fit(lambda: iter(images))
    images[0, :, 1:] += 1000 * torch.rand(2, 5, 6, 6)
    after.fit(lambda: iter(images))
    # the mean image moves, so the scale does too, but by far less than the outlier's size
    assert after.gain[0, 1, 0, 0] < 0.1 * 1000


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(0, 2, *GRID), "at least one"),
        (torch.zeros(3, 2, *GRID), "No voxel"),
        (torch.ones(3, 2, *GRID), "the same"),
    ],
)
def test_images_that_cannot_be_fitted_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        ImageScaling("residual", 2, GRID).fit(lambda: iter(images))
