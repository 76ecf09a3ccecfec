import pytest
import torch

from custom_nets import (
    PaperFusionAutoencoder,
    RefinedLinearAutoencoder,
    mid_flow_saving,
    separable_saving,
    size_table,
    trainable_parameters,
)
from tests.small_networks import randomised, small_network

PAIR = ["JAC", "NDI"]
SMALL = (32, 32, 24)


def small_paper(modalities=PAIR, **changes):
    return PaperFusionAutoencoder(modalities, SMALL, **{"widths": (4, 8, 32), "kernel_size": (3, 3, 3)} | changes)


def fitted(network, n_images=6):
    torch.manual_seed(0)
    images = torch.rand(n_images, len(network.modalities), *network.spatial_size) + 1
    network.fit_to_images(lambda: iter(images))
    return network.eval(), images


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, 1_515_238), ({"separable_mid_flow": False}, 3_851_398), ({"separable_units": True}, 315_094)],
)
def test_paper_networks_have_the_published_parameters(changes, expected):
    assert trainable_parameters(PaperFusionAutoencoder(PAIR, **changes)) == expected


def test_separable_savings_are_those_derived_from_the_paper():
    network = PaperFusionAutoencoder(PAIR)
    assert round(mid_flow_saving(network.encoders[0]), 1) == 19.2
    assert round(mid_flow_saving(network.decoders[0]), 1) == 18.8
    assert round(separable_saving(5 * 6 * 5, 32), 1) == 26.4
    assert round(separable_saving(3 * 3 * 3, 96), 1) == 21.1


def test_size_table_counts_the_reduction_of_the_paper():
    table = size_table(PaperFusionAutoencoder(PAIR), native_voxels_per_modality=256 * 256 * 192)
    for fact in ("1,515,238", "1536 values = 32 x 4 x 4 x 3", "1,024", "2,048", "16,384"):
        assert fact in table


@pytest.mark.parametrize(
    "network",
    [
        RefinedLinearAutoencoder(["T1w", "FA", "NDI", "JAC"]),
        RefinedLinearAutoencoder(["FA"], (128, 128, 96), block=16, fold=4),
        PaperFusionAutoencoder(PAIR),
        PaperFusionAutoencoder(PAIR, (64, 64, 48), widths=(4, 8, 16, 32)),
        PaperFusionAutoencoder(PAIR, (32, 32, 24), widths=(8, 16, 32)),
    ],
)
def test_every_preset_embeds_in_1536_values(network):
    assert network.embedding_size == 1536


@pytest.mark.parametrize("n_modalities", [1, 2, 4])
@pytest.mark.parametrize("build", [small_network, small_paper])
def test_any_number_of_modalities_comes_back_in_its_own_shape(build, n_modalities):
    network, images = fitted(build([f"map{m}" for m in range(n_modalities)]))
    with torch.no_grad():
        assert network(images).shape == images.shape
        assert network.encode(images).shape == (len(images), network.embedding_size)


def test_untrained_network_of_the_paper_returns_the_mean_image_with_residual_scaling():
    network, images = fitted(small_paper(scaling="residual", skips="none", norm="group"))
    with torch.no_grad():
        torch.testing.assert_close(network(images), images.mean(0).expand_as(images), rtol=0, atol=1e-6)


@pytest.mark.parametrize("norm", ["group", "instance", "batch"])
@pytest.mark.parametrize("build", [small_network, small_paper])
def test_a_batch_of_one_gets_what_a_batch_of_n_gets(build, norm):
    network, images = fitted(randomised(build(norm=norm)))
    with torch.no_grad():
        for run in (network.encode, network):
            alone = torch.cat([run(image[None]) for image in images])
            torch.testing.assert_close(run(images), alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kernel_size", [(1, 1, 1), (5, 6, 5), (7, 7, 7)])
def test_kernel_of_the_depthwise_filters_can_be_chosen(kernel_size):
    network, images = fitted(randomised(small_network(kernel_size=kernel_size)))
    filters = [weight for name, weight in network.named_parameters() if weight.ndim == 5 and weight.shape[1] == 1]
    assert {tuple(weight.shape[2:]) for weight in filters} == {kernel_size}
    with torch.no_grad():
        assert network(images).shape == images.shape


def test_signature_tells_networks_of_other_kernels_and_sizes_apart():
    networks = [small_network(), small_network(kernel_size=(5, 5, 5)), small_network(embedding_size=96)]
    assert len({bytes(network.signature.tolist()) for network in networks}) == 3


def test_a_network_that_needs_every_modality_says_so_and_which_one_does_not():
    network, images = fitted(small_paper())
    images[0, 1] = torch.nan
    with pytest.raises(ValueError, match="RefinedLinearAutoencoder"):
        network.encode(images)


@pytest.mark.parametrize("build", [small_network, lambda: small_paper(skips="none")])
def test_strict_bottleneck_decodes_from_the_code_alone(build):
    network, images = fitted(randomised(build()))
    with torch.no_grad():
        torch.testing.assert_close(network.decode(network.encode(images)), network(images))


def test_unet_skips_let_the_decoder_see_more_than_the_code():
    network, images = fitted(small_paper(skips="unet"))
    with pytest.raises(ValueError, match="skips"):
        network.decode(network.encode(images))


def test_reloaded_network_reconstructs_as_the_saved_one():
    network, images = fitted(randomised(small_network()))
    copy = small_network()
    copy.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert torch.equal(copy.eval()(images), network(images))


@pytest.mark.parametrize("build", [small_network, lambda: small_paper(skips="none"), small_paper])
def test_scripted_network_gives_the_eager_values(build):
    network, images = fitted(randomised(build()))
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.script(network)(images), network(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: small_network(["T1w", "T1w"]), "different modalities"),
        (lambda: small_network([]), "one or more"),
        (lambda: RefinedLinearAutoencoder(PAIR, (60, 64, 48)), "divisible by 8"),
        (lambda: RefinedLinearAutoencoder(PAIR, (60, 64, 48), block=4, fold=3), "divisible by 12"),
        (lambda: small_network(norm="layer"), "norm"),
        (lambda: small_paper(skips="some"), "skips"),
        (lambda: small_paper(scaling="z"), "scaling"),
    ],
)
def test_bad_arguments_are_refused_in_words(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.slow
@pytest.mark.parametrize("separable", [True, False])
@pytest.mark.parametrize(("grid", "widths"), [((64, 64, 48), (4, 8, 16, 32)), ((128, 128, 96), (2, 4, 8, 16, 32))])
def test_paper_networks_train_a_step(separable, grid, widths):
    network, images = fitted(PaperFusionAutoencoder(PAIR, grid, widths, separable_mid_flow=separable), n_images=2)
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(6 if grid[0] == 64 else 1):
        loss = (network(images[:1]) - images[:1]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert all(torch.isfinite(torch.tensor(losses))) and losses[-1] <= losses[0]
