import numpy as np
import pytest

from bundle.data.jacobian import affine_determinant, to_log_jacobian
from bundle.data.problems import InputProblems


def write_matrix(tmp_path, scale):
    turn = np.array(
        [[np.cos(0.3), -np.sin(0.3), 0, 5], [np.sin(0.3), np.cos(0.3), 0, -3], [0, 0, 1, 2], [0, 0, 0, 1.0]]
    )
    matrix = turn @ np.diag([*scale, 1.0])
    np.savetxt(tmp_path / "affine.mat", matrix)
    return tmp_path / "affine.mat"


def test_every_definition_gives_the_same_log_jacobian(tmp_path):
    truth = np.random.default_rng(0).normal(0, 0.2, (5, 6, 7))
    # a head 1.1 x 1.2 x 0.9 times as large as the template: each registration shrinks it by that
    determinant = affine_determinant(write_matrix(tmp_path, [1 / 1.1, 1 / 1.2, 1 / 0.9]), "subject_to_template")
    assert determinant == pytest.approx(1.1 * 1.2 * 0.9)
    inverse = affine_determinant(write_matrix(tmp_path, [1.1, 1.2, 0.9]), "template_to_subject")
    assert inverse == pytest.approx(determinant)
    for values, kind, affine in [
        (truth, "log", 1.0),
        (np.exp(truth), "raw", 1.0),
        (np.exp(truth) * determinant, "raw", determinant),
        (truth + np.log(determinant), "log", determinant),
    ]:
        made, clipped = to_log_jacobian(values, kind, affine)
        assert np.allclose(made, truth, atol=1e-6) and clipped == 0


def test_a_mirrored_axis_does_not_matter(tmp_path):
    plain = affine_determinant(write_matrix(tmp_path, [1.1, 1.2, 0.9]), "subject_to_template")
    assert affine_determinant(write_matrix(tmp_path, [-1.1, 1.2, 0.9]), "subject_to_template") == pytest.approx(plain)


def test_background_stays_zero_and_folds_are_counted():
    made, clipped = to_log_jacobian(np.array([[[0.0, 1.0, -0.5, 500.0]]]), "raw", 2.0)
    assert clipped == 2 and made[0, 0, 0] == 0
    assert np.allclose(made[0, 0, 1:], np.log([1.0, 0.01, 100.0]) - np.log(2.0))


@pytest.mark.parametrize("text", ["1 2 3", "a b", "0 0 0 0\n" * 4])
def test_files_that_are_no_affine_are_named(tmp_path, text):
    (tmp_path / "affine.mat").write_text(text)
    with pytest.raises(InputProblems, match=r"affine\.mat"):
        affine_determinant(tmp_path / "affine.mat", "subject_to_template")
