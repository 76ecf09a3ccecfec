import itertools
import math

import pytest
import torch
from custom_nets.fusion import (
    FUSIONS,
    LEAST_LOG_PRECISION,
    Expert,
    make_fusion,
    maps_present,
    product,
    subset_members,
    subset_numbers,
    surprise,
)

from custom_nets import FoldedFusionAutoencoder, PaperFusionAutoencoder

MAPS = ["T1w", "FA", "NDI"]
ANY_SUBSET = ["mean", "product_of_experts"]


def network(fusion, modalities=MAPS):
    torch.manual_seed(0)
    built = FoldedFusionAutoencoder(modalities, (32, 32, 24), (8, 16), (1, 1), code_channels=8, fusion=fusion)
    for parameter in built.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    images = torch.rand(5, len(modalities), 32, 32, 24) + 1
    built.fit_to_images(lambda: iter(images))
    return built.eval(), images


def without(images, *channels):
    images = images.clone()
    images[:, list(channels)] = torch.nan
    return images


def proposed(fusion, present=(True, True, True)):
    """Code map and what went in, for three maps of two people."""
    torch.manual_seed(1)
    maps = [torch.randn(2, 4, 3, 3, 3) for _ in range(3)]
    fusion = make_fusion(fusion, 3, 4, 6).eval()
    return fusion, maps, torch.tensor([present, present])


@pytest.mark.parametrize("fusion", ANY_SUBSET)
def test_any_subset_gives_a_whole_finite_code_and_every_map(fusion):
    built, images = network(fusion)
    for size in (1, 2):
        for absent in itertools.combinations(range(3), size):
            with torch.no_grad():
                assert built.encode(without(images, *absent)).shape == (5, built.embedding_size)
                assert torch.isfinite(built(without(images, *absent))).all()


@pytest.mark.parametrize("fusion", ANY_SUBSET)
def test_absent_maps_do_not_touch_the_code(fusion):
    built, images = network(fusion)
    batch = torch.stack([images[0], without(images, 1)[0]])
    with torch.no_grad():
        together = built.encode(batch)
        alone = torch.cat([built.encode(batch[:1]), built.encode(batch[1:])])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together[0], together[1])


def test_mean_of_one_is_that_ones_proposal():
    fusion, maps, present = proposed("mean", (False, True, False))
    assert torch.equal(fusion(maps, present), fusion.proposals[1](maps[1]))


def test_mean_of_all_is_a_concatenations_convolution():
    fusion, maps, present = proposed("mean")
    joined = make_fusion("concat", 3, 4, 6)
    with torch.no_grad():
        joined.joint.weight.copy_(torch.cat([proposal.weight for proposal in fusion.proposals], dim=1) / 3)
        joined.joint.bias.copy_(sum(proposal.bias for proposal in fusion.proposals) / 3)
    torch.testing.assert_close(fusion(maps, present), joined(maps, present), rtol=1e-4, atol=1e-5)


def test_product_of_experts_is_that_of_gaussian_densities():
    fusion, maps, present = proposed("product_of_experts", (True, False, True))
    for expert in fusion.experts:
        torch.nn.init.normal_(expert.precision, std=0.1)
    means, precisions = fusion.opinions(maps)
    mean, variance = product(means[[0, 2]], precisions[[0, 2]])
    torch.testing.assert_close(fusion(maps, present), mean)
    grid = torch.linspace(-6, 6, 4001)
    log_density = -0.5 * grid.square()
    for number in (0, 2):
        own_mean, precision = (part[0, 0, 0, 0, 0] for part in fusion.experts[number](maps[number]))
        log_density = log_density - 0.5 * precision * (grid - own_mean).square()
    density = (log_density - log_density.max()).exp()
    density = density / density.sum()
    expected = (density * grid).sum()
    torch.testing.assert_close(mean[0, 0, 0, 0, 0], expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        variance[0, 0, 0, 0, 0], (density * (grid - expected).square()).sum(), rtol=1e-3, atol=1e-3
    )


def test_every_further_expert_makes_the_code_more_certain():
    fusion, maps, _ = proposed("product_of_experts")
    variances = []
    for present in ([True, False, False], [True, True, False], [True, True, True]):
        fusion(maps, torch.tensor([present] * 2))
        variances.append(fusion.variance)
    assert (variances[0] > variances[1]).all() and (variances[1] > 0).all() and (variances[0] < 1).all()
    assert (variances[2] == 0).all()  # nothing is missing


def test_no_expert_falls_silent_and_every_one_can_come_back():
    expert = Expert(4, 2)
    torch.nn.init.constant_(expert.precision, -1.0)
    _, precision = expert(torch.randn(1, 4, 2, 2, 2))
    assert (precision > math.exp(LEAST_LOG_PRECISION)).all() and (precision < 1.1 * math.exp(LEAST_LOG_PRECISION)).all()
    precision.sum().backward()
    assert bool((expert.precision.grad > 0).all())


def test_codes_of_an_expert_are_on_the_scale_of_the_prior():
    expert = Expert(4, 2)
    mean, _ = expert(100 * torch.randn(3, 4, 2, 2, 2))
    torch.testing.assert_close(mean.square().mean(dim=(1, 2, 3, 4)), torch.ones(3))


def noisy_experts(noise_sds, n_people=2000):
    """What experts see of standard normal codes, `(M, B, 1, 1, 1, 1)`, the precisions of their noise, and the codes."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(n_people, generator=generator)
    sds = torch.tensor(noise_sds)
    seen = codes + sds[:, None] * torch.randn(len(sds), n_people, generator=generator)
    return seen[..., None, None, None, None], 1 / sds**2, codes


def test_where_experts_are_right_codes_move_as_far_as_their_variances_say():
    means, precisions, _ = noisy_experts((0.2, 0.5, 1.0, 3.0))
    everything = precisions.view(-1, 1, 1, 1, 1, 1).expand_as(means)
    mean, variance = product(means, everything)
    for members in ([0], [1], [3], [1, 2], [0, 2, 3]):
        own_mean, own_variance = product(means[members], everything[members])
        moves = (mean - own_mean).square() / (own_variance - variance)
        assert abs(float(moves.mean()) - 1) < 0.1, members


def test_surprise_is_torchs_likelihood():
    means, precisions, _ = noisy_experts((0.2, 0.5, 1.0), 6)
    everything = precisions.view(-1, 1, 1, 1, 1, 1).expand_as(means)
    part = torch.tensor([[True, False, True]] * 6)
    (mean, variance), (own_mean, own_variance) = product(means, everything), product(means[[0, 2]], everything[[0, 2]])
    predicted = torch.distributions.Normal(own_mean, (own_variance - variance).sqrt())
    expected = -predicted.log_prob(mean).mean() - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(surprise(means, everything, part), expected)


def test_people_of_whom_nothing_or_everything_is_known_surprise_nobody():
    means, precisions, _ = noisy_experts((0.2, 0.5, 1.0), 6)
    everything = precisions.view(-1, 1, 1, 1, 1, 1).expand_as(means)
    part = torch.tensor([[False] * 3, [True] * 3] * 3)
    assert surprise(means, everything, part) == 0


def test_surprise_and_reconstruction_together_find_the_precisions_of_the_noise():
    means, precisions, codes = noisy_experts((0.3, 0.6, 1.2))
    torch.manual_seed(0)
    logs = torch.zeros(len(precisions), requires_grad=True)
    optimizer = torch.optim.Adam([logs], lr=0.05)
    for _ in range(400):
        everything = logs.exp().view(-1, 1, 1, 1, 1, 1).expand_as(means)
        # drawing images asks for codes that are right; alone it says which expert to follow, not how far to trust it
        drawn = (product(means, everything)[0].flatten() - codes).square().mean()
        part = torch.rand(means.shape[1], len(precisions)) < 0.5
        optimizer.zero_grad()
        (100 * drawn + surprise(means, everything, part)).backward()
        optimizer.step()
    torch.testing.assert_close(logs.detach().exp().rsqrt(), precisions.rsqrt(), rtol=0.25, atol=0)


def test_surprise_trains_precisions_and_no_code():
    means, precisions, _ = noisy_experts((0.2, 0.5, 1.0), 6)
    means.requires_grad_()
    everything = precisions.view(-1, 1, 1, 1, 1, 1).expand_as(means).clone().requires_grad_()
    surprise(means, everything, torch.tensor([[True, False, True]] * 6)).backward()
    assert means.grad is None and bool((everything.grad != 0).all())


def test_surprise_has_no_say_in_features():
    fusion, maps, present = proposed("product_of_experts")
    maps = [one.clone().requires_grad_() for one in maps]
    torch.manual_seed(1)
    fusion.train()(maps, present)
    fusion.surprise.backward()
    assert all(one.grad is None for one in maps)
    assert all(bool(expert.precision.grad.any()) for expert in fusion.experts)


@pytest.mark.parametrize("fusion", ANY_SUBSET)
def test_subsets_seen_in_training_are_remembered_and_saved(fusion):
    built, images = network(fusion)
    assert not built.fusion.seen.any()
    built.train()
    built(torch.cat([images, without(images, 0, 2)]))
    built.eval()(without(images, 0))
    seen = [subset_members(number, MAPS) for number in torch.nonzero(built.state_dict()["fusion.seen"]).flatten()]
    assert seen == [("FA",), ("T1w", "FA", "NDI")]


def test_numbers_and_members_of_subsets_agree():
    present = torch.tensor(list(itertools.product([False, True], repeat=3)))
    for number, row in zip(subset_numbers(present).tolist(), present, strict=True):
        assert subset_members(number, MAPS) == tuple(m for m, there in zip(MAPS, row, strict=True) if there)


def test_a_map_with_some_voxels_that_are_nan_is_there():
    images = torch.rand(2, 3, 4, 4, 4)
    images[0, 1, 0, 0, 0] = torch.nan
    images[1, 2] = torch.nan
    assert maps_present(images).tolist() == [[True, True, True], [True, True, False]]


@pytest.mark.parametrize("build", [lambda: network("concat"), lambda: paper()])
def test_networks_that_need_every_map_say_so(build):
    built, images = build()
    with pytest.raises(ValueError, match="needs every map"):
        built.encode(without(images, 1))


def paper():
    built = PaperFusionAutoencoder(MAPS, (32, 32, 24), (4, 8, 32), (3, 3, 3), skips="none")
    return built.eval(), torch.rand(2, 3, 32, 32, 24)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_scripted_network_gives_the_eager_values_of_any_subset(fusion):
    built, images = network(fusion)
    scripted = torch.jit.script(built)
    for given in [images] if fusion == "concat" else [images, without(images, 1)]:
        with torch.no_grad():
            torch.testing.assert_close(scripted(given), built(given), rtol=1e-4, atol=1e-4)


def test_unknown_fusion_is_refused():
    with pytest.raises(ValueError, match="one of"):
        network("sum")


def test_scaling_is_fitted_on_the_maps_that_are_there():
    built, images = network("mean")
    partly = images.clone()
    partly[3:, 1] = torch.nan
    built.fit_to_images(lambda: iter(partly))
    torch.testing.assert_close(built.scaling.mean_image[1], images[:3, 1].mean(0))
    torch.testing.assert_close(built.scaling.mean_image[0], images[:, 0].mean(0))
    assert torch.isfinite(built.scaling.gain).all() and int(built.scaling.n_fitted) == 5
    with pytest.raises(ValueError, match=r"with modality number \[2\]"):
        built.fit_to_images(lambda: iter(without(images, 2)))
