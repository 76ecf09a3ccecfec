import numpy as np
import torch

from bundle.data.deformation import exponentiate, jacobian_determinant, sample
from bundle.data.random_fields import smooth_random_fields

SHAPE = (24, 26, 28)


def coordinates():
    axes = [torch.arange(size, dtype=torch.float32) for size in SHAPE]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def test_jacobian_determinant_of_an_analytic_warp():
    # u = A sin(w x) per axis: det = prod(1 + A w cos(w x))
    x, amplitude, frequency = coordinates(), 0.6, 0.25
    displacement = amplitude * torch.sin(frequency * x)
    expected = (1 + amplitude * frequency * torch.cos(frequency * x)).prod(dim=0)
    # central differences of a sine fall short by (w h)^2 / 6 = 1 % of its slope, three times over
    inner = (slice(1, -1),) * 3
    torch.testing.assert_close(jacobian_determinant(displacement)[inner], expected[inner], rtol=0, atol=8e-3)


def test_jacobian_determinant_of_an_affine_warp_is_its_determinant():
    matrix = torch.tensor([[0.1, 0.05, 0.0], [-0.02, -0.1, 0.03], [0.0, 0.04, 0.2]])
    displacement = torch.einsum("ij,jdhw->idhw", matrix, coordinates())
    expected = torch.linalg.det(torch.eye(3) + matrix)
    torch.testing.assert_close(jacobian_determinant(displacement), expected.expand(SHAPE), rtol=0, atol=1e-4)


def test_exponential_of_a_linear_velocity_is_the_matrix_exponential():
    centre = torch.tensor([(size - 1) / 2 for size in SHAPE]).view(3, 1, 1, 1)
    velocity = 0.1 * (coordinates() - centre)
    expected = (np.exp(0.1) - 1) * (coordinates() - centre)
    inner = (slice(None), *(slice(6, -6),) * 3)
    torch.testing.assert_close(exponentiate(velocity)[inner], expected[inner], rtol=0, atol=0.02)


def test_opposite_velocities_undo_each_other():
    rng = np.random.default_rng(0)
    velocity = torch.from_numpy(smooth_random_fields(rng, 3, SHAPE, 9.0))
    there, back = exponentiate(velocity), exponentiate(-velocity)
    left = there + sample(back, there, padding_mode="border")
    inner = (slice(None), *(slice(5, -5),) * 3)
    assert left[inner].abs().mean() < 0.02


def test_moderate_warps_do_not_fold():
    rng = np.random.default_rng(1)
    velocity = torch.from_numpy(smooth_random_fields(rng, 3, SHAPE, 9.0))
    assert jacobian_determinant(exponentiate(velocity)).min() > 0
