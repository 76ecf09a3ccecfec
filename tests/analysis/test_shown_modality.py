import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bundle.analysis.image_measures import SMALL_GRID
from bundle.analysis.shown_modality import fine_detail, shown_instead

MODALITIES = ("A", "B", "C")
N = 16


def simulate(seed, n_people=N):
    """Images of modalities that share half of their fine pattern, with private broad differences and noise."""
    rng = np.random.default_rng(seed)
    shared, *own = rng.standard_normal((1 + len(MODALITIES), *SMALL_GRID))
    images = {}
    for name, pattern in zip(MODALITIES, own, strict=True):
        private = rng.standard_normal((n_people, *SMALL_GRID))
        broad = np.stack([gaussian_filter(one, 4) for one in private])
        images[name] = shared + pattern + 2 * broad / broad.std() + 0.7 * rng.standard_normal(private.shape)
    return images


def centres_of(images):
    return {name: np.median(fine_detail(of_modality), axis=0) for name, of_modality in images.items()}


@pytest.fixture(params=range(3))
def images(request):
    return simulate(request.param)


@pytest.mark.parametrize("share", [1, N // 4])
def test_images_under_another_name_are_told_and_no_others(images, share):
    swapped = images | {"A": np.concatenate([images["B"][:share], images["A"][share:]])}
    centres = centres_of(swapped)
    assert shown_instead("A", swapped["A"], centres) == ["B"] * share + [""] * (N - share)
    assert shown_instead("B", swapped["B"], centres) == shown_instead("C", swapped["C"], centres) == [""] * N


def test_an_exchange_is_told_on_both_sides(images):
    swapped = {name: of_modality.copy() for name, of_modality in images.items()}
    swapped["A"][3], swapped["B"][3] = images["B"][3], images["A"][3]
    centres = centres_of(swapped)
    assert [shown_instead(name, swapped[name], centres)[3] for name in "AB"] == ["B", "A"]


def test_brightness_bias_field_and_side_do_not_matter(images):
    centres, ramp = centres_of(images), np.linspace(0.8, 1.2, SMALL_GRID[1])[:, None]
    for change in (lambda x: 500 + 30 * x, lambda x: x * ramp, lambda x: x[::-1]):
        changed = images["A"].copy()
        changed[0], changed[1] = change(images["A"][0]), change(images["B"][1])
        assert shown_instead("A", changed, centres) == ["", "B"] + [""] * (N - 2)


def test_images_that_are_like_nobodys_are_not_taken_for_another_modality(images):
    broken = images["A"].copy()
    broken[0] = np.random.default_rng(9).standard_normal(SMALL_GRID)
    broken[1] = np.roll(images["A"][1], 3, axis=1)
    broken[2] = images["B"][2][:, ::-1]
    broken[3] = 0
    assert shown_instead("A", broken, centres_of(images)) == [""] * N


@pytest.mark.parametrize("seed", range(3))
def test_modalities_that_hardly_differ_are_not_told_apart(seed):
    rng = np.random.default_rng(100 + seed)
    first = simulate(seed, 48)["A"]
    twins = {"A": first, "B": first + 0.1 * rng.standard_normal(first.shape)}
    centres = centres_of(twins)
    nearer = sum(
        np.sum(fine_detail(twins[name]) @ (centres[other] - centres[name]) > 0) for name, other in ("AB", "BA")
    )
    told = [name for name in twins for shown in shown_instead(name, twins[name], centres) if shown]
    assert nearer > 10 and len(told) <= 1


def test_alone_a_modality_has_nothing_to_be_taken_for(images):
    assert shown_instead("A", images["A"], {"A": centres_of(images)["A"]}) == [""] * N
