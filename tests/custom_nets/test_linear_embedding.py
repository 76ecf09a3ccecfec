import pytest
import torch

from custom_nets.linear_embedding import LinearEmbedding
from custom_nets.linear_fit import (
    BlockLayout,
    LinearFitSettings,
    embed_packed,
    fit_linear_embedding,
    mirror_plane,
    reconstruct_packed,
)
from custom_nets.presence import every_subset, modalities_present
from tests.custom_nets.planted import planted_images

GRID = (8, 8, 4)
SETTINGS = LinearFitSettings(n_components=48, most_per_block=12)


@pytest.fixture(scope="module")
def fitted():
    """An embedding of 2 modalities in blocks of 4 voxels, the images that it was fitted on and the mask."""
    torch.manual_seed(0)
    mask = torch.ones(GRID)
    mask[0], mask[:, :4, 0] = 0, 0
    scores = torch.randn(60, 12)
    images = (scores @ torch.randn(12, 2 * mask.numel())).view(60, 2, *GRID) / 3 + 0.5 * torch.randn(60, 2, *GRID)
    images = images * mask
    layout = BlockLayout(mask, 4, -1)
    found = fit_linear_embedding(images.flatten(2)[:, :, layout.voxels], layout, 16, SETTINGS)
    embedding = LinearEmbedding(2, GRID, 4, 16)
    embedding.store(found, mask)
    return embedding, images, layout, found


def dense_bases(embedding):
    """`(M D H W, C)` P, from the components of every unit image."""
    n_values = embedding.n_modalities * 8 * 8 * 4
    return embedding.components(torch.eye(n_values).view(n_values, embedding.n_modalities, *GRID))


def test_bases_and_axes_are_orthonormal(fitted):
    embedding = fitted[0]
    bases, axes = dense_bases(embedding), embedding.turn
    torch.testing.assert_close(bases.t() @ bases, torch.eye(bases.shape[1]), rtol=0, atol=8e-3)  # 8 bits
    torch.testing.assert_close(axes.t() @ axes, torch.eye(16), rtol=0, atol=2e-3)


def test_it_is_two_matrix_products_and_their_transposes(fitted):
    embedding, images, *_ = fitted
    both = dense_bases(embedding) @ embedding.turn
    embeddings = images.flatten(1) @ both
    torch.testing.assert_close(embedding(images), embeddings, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        embedding.reconstruct(embeddings).flatten(1), embeddings @ both.t(), rtol=1e-4, atol=1e-4
    )


def test_what_the_fit_computes_with_is_what_the_network_computes(fitted):
    embedding, images, layout, found = fitted
    packed = images.flatten(2)[:, :, layout.voxels]
    embeddings = embed_packed(found, packed)
    near = {"rtol": 0, "atol": 0.02 * float(embeddings.abs().max())}  # bases are stored in 8 bits
    torch.testing.assert_close(embedding(images), embeddings, **near)
    drawn = reconstruct_packed(found, embeddings, 2)
    near = {"rtol": 0, "atol": 0.02 * float(drawn.abs().max())}
    torch.testing.assert_close(embedding.reconstruct(embeddings).flatten(2)[:, :, layout.voxels], drawn, **near)


def test_a_subset_is_embedded_as_the_gaussian_model_says(fitted):
    embedding, images, *_ = fitted
    bases, axes = dense_bases(embedding).view(2, -1, len(embedding.turn)), embedding.turn
    for subset in every_subset(2)[:-1]:
        (number,) = torch.nonzero(subset)[:, 0].tolist()
        measured = images[:, number].flatten(1) @ bases[number]
        loadings = bases[number].t() @ bases[number] @ axes
        covariance = (
            loadings * embedding.variances @ loadings.t() + embedding.noise[: len(embedding.turn), number].diag()
        )
        gain = (torch.linalg.solve(covariance.double(), (loadings * embedding.variances).double())).t()
        left = embedding.variances.diag() - gain @ (loadings * embedding.variances).double()
        given = torch.zeros_like(images)
        given[:, number] = images[:, number]
        found = embedding.embed_subset(given, subset.expand(len(images), 2))
        torch.testing.assert_close(found.double(), measured.double() @ gain.t(), rtol=1e-2, atol=1e-3)
        torch.testing.assert_close(
            embedding.uncertainty(subset[None])[0].double(), left.diagonal().sqrt(), rtol=1e-2, atol=1e-3
        )


def test_a_taper_keeps_what_is_far_apart_by_chance_out(fitted):
    """Few participants share something by chance everywhere; the covariance of blocks at a distance counts for nothing."""
    torch.manual_seed(3)
    mask = torch.ones(64, 8, 8)
    images = torch.randn(6, 1, 64, 8, 8)
    layout = BlockLayout(mask, 8, -1)
    packed = images.flatten(2)[:, :, layout.voxels]

    def spread(reach):
        settings = LinearFitSettings(n_components=40, most_per_block=5, reach=reach)
        found = fit_linear_embedding(packed, layout, 5, settings)
        by_block = found["axes"].float().square().split(found["n_components"].tolist())
        return torch.stack([part.sum(dim=0) for part in by_block]).square().sum(dim=0).mean()

    assert spread(1.0) > 0.99 > 2 * spread(1e6)  # each axis in one block, or over all of them


def test_few_participants_leave_values_that_say_nothing_at_zero():
    torch.manual_seed(0)
    layout = BlockLayout(torch.ones(GRID), 4, -1)
    found = fit_linear_embedding(torch.randn(2, 1, 256), layout, 400, SETTINGS)
    n_axes = int(found["n_components"].sum())
    assert n_axes < 400 and found["axes"].shape == (n_axes, 400)
    assert not found["axes"][:, n_axes:].any() and found["axes"][:, 0].any()


@pytest.mark.parametrize(("shift", "plane"), [(0, 31), (2, 35), (-1, 29)])
def test_the_plane_of_symmetry_is_found_where_it_is(shift, plane):
    mean = planted_images(1, n_modalities=2, n_factors=1, shift=shift, noise=0.0)
    mean = (mean + mean.flip(2).roll(2 * shift, dims=2))[0] / 2  # the bump on both sides
    assert mirror_plane(mean) == plane


def test_an_image_without_symmetry_has_no_plane():
    torch.manual_seed(0)
    image = torch.randn(2, 32, 32, 24)
    assert mirror_plane(image) == -1
    slope = torch.linspace(1, 9, 32).view(1, 32, 1, 1).expand(1, 32, 32, 24)
    assert mirror_plane(slope * (1 + image[:1].abs())) == -1


@pytest.mark.parametrize("mirror", [-1, 7, 8])
def test_copies_of_an_image_are_shifted_and_mirrored(mirror):
    mask = torch.ones(GRID)
    mask[0] = 0
    layout = BlockLayout(mask, 4, mirror)
    assert len(layout.sources) == (7 if mirror < 0 else 14)
    assert torch.equal(layout.sources[0], torch.arange(int(mask.sum())))
    image = torch.rand(GRID) * mask
    values = torch.cat([image.flatten()[layout.voxels], torch.zeros(1)])
    if mirror >= 0:
        mirrored = torch.zeros(GRID)
        for i in range(8):
            if 0 <= mirror - i < 8:
                mirrored[i] = image[mirror - i]
        assert torch.equal(values[layout.sources[1]], mirrored.flatten()[layout.voxels])
    along = layout.sources[2 if mirror >= 0 else 1]
    assert torch.equal(values[along], image.roll(1, dims=0).flatten()[layout.voxels])


def test_every_subset_is_there_once_small_ones_first():
    subsets = every_subset(3)
    assert len({tuple(row) for row in subsets.tolist()}) == 7 and subsets.any(dim=1).all()
    assert subsets.sum(dim=1).tolist() == [1, 1, 1, 2, 2, 2, 3]


def test_a_modality_with_some_voxels_that_are_nan_is_there():
    images = torch.rand(2, 3, 4, 4, 4)
    images[0, 1, 0, 0, 0] = torch.nan
    images[1, 2] = torch.nan
    assert modalities_present(images).tolist() == [[True, True, True], [True, True, False]]
