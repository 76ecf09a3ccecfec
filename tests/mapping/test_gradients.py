import numpy as np
import pytest

from bundle.data.problems import InputProblems
from bundle.mapping.gradients import Gradients, read_gradients, why_no_noddi, why_no_tensor
from tests.mapping.signals import scheme

TWO_SHELLS = scheme((4, 0), (12, 1000), (12, 2000))


@pytest.fixture
def files(tmp_path):
    np.savetxt(tmp_path / "bvals", TWO_SHELLS.b_values[None], fmt="%g")
    np.savetxt(tmp_path / "bvecs", TWO_SHELLS.directions.T, fmt="%.6f")
    return tmp_path / "bvals", tmp_path / "bvecs"


def test_files_are_read_as_fsl_writes_them(files):
    gradients = read_gradients(*files, 28)
    np.testing.assert_allclose(gradients.directions, TWO_SHELLS.directions, atol=1e-5)
    assert gradients.shells == [1000, 2000] and gradients.is_b0.sum() == 4 and gradients.notes == ()


def test_transposed_files_are_turned_and_it_is_said(files):
    np.savetxt(files[1], TWO_SHELLS.directions)
    np.savetxt(files[0], TWO_SHELLS.b_values)
    gradients = read_gradients(*files, 28)
    np.testing.assert_allclose(gradients.directions, TWO_SHELLS.directions, atol=1e-5)
    assert "was turned" in gradients.notes[0]


def test_files_of_another_length_are_refused_with_both_lengths(files):
    with pytest.raises(InputProblems) as caught:
        read_gradients(*files, 30)
    assert len(caught.value.problems) == 2
    assert "expected 30 b-values" in caught.value.problems[0] and "got 28" in caught.value.problems[0]
    assert "3 rows of 30 numbers" in caught.value.problems[1] and "got 3 x 28" in caught.value.problems[1]


def test_exchanged_files_are_recognised(files):
    with pytest.raises(InputProblems, match="exchanged"):
        read_gradients(files[1], files[0], 28)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b, v: (b / 1000, v), "expected s/mm"),
        (lambda b, v: (b * 1e6, v), "1e9 s/m"),
        (lambda b, v: (b + 200, v), "at least one without weighting"),
        (lambda b, v: (b, v * 0.5), "unit vectors"),
        (lambda b, v: (b, v * np.nan), "unit vectors"),
        (lambda b, v: (-b, v), "0 or more"),
    ],
)
def test_numbers_that_cannot_be_are_refused(files, change, message):
    b_values, vectors = change(TWO_SHELLS.b_values, TWO_SHELLS.directions)
    np.savetxt(files[0], b_values[None])
    np.savetxt(files[1], vectors.T)
    with pytest.raises(InputProblems, match=message):
        read_gradients(*files, 28)


def test_text_that_is_no_numbers_is_refused(files):
    files[0].write_text("a b c")
    with pytest.raises(InputProblems, match="rows of numbers"):
        read_gradients(*files, 28)


def test_single_shell_gives_fa_but_no_ndi():
    single = scheme((4, 0), (30, 1000))
    assert why_no_tensor(single) == ""
    assert "single-shell (4 x b0 + 30 x b1000)" in why_no_noddi(single)
    assert why_no_noddi(TWO_SHELLS) == ""
    assert "needs 6 different directions" in why_no_tensor(scheme((1, 0), (4, 1000)))
    assert "1500" in why_no_noddi(scheme((4, 0), (20, 700), (20, 1000)))


def test_the_tensor_takes_low_shells_only():
    assert TWO_SHELLS.for_tensor.sum() == 16
    assert scheme((4, 0), (30, 2000)).for_tensor.all()  # there is nothing lower


def test_dense_b_values_are_no_shell():
    dense = scheme((4, 0), *((3, float(b)) for b in range(200, 3001, 90)))
    assert "from 200 to 2990" in why_no_noddi(dense) and why_no_tensor(dense) == ""
    assert dense.b_values[dense.for_tensor].max() <= 1500 and dense.for_tensor.sum() == 4 + 3 * 15
    jittered = scheme((4, 0), (30, 960), (30, 1040), (60, 2000))
    assert not jittered.is_spread.any() and why_no_noddi(jittered) == ""


def test_noddi_is_refused_by_itself_where_noise_cannot_be_estimated():
    assert "noise cannot be estimated" in why_no_noddi(scheme((2, 0), (15, 1000), (15, 2000)))
    assert why_no_noddi(scheme((3, 0), (15, 1000), (15, 2000))) == ""
    assert why_no_noddi(scheme((1, 0), (20, 1000), (15, 2000))) == ""


@pytest.mark.parametrize("nominal", [750, 1500, 2050])
def test_jitter_does_not_split_a_shell(nominal):
    exact = scheme((4, 0), (64, nominal))
    jitter = np.where(exact.is_b0, 0, np.resize([-5, 5], len(exact)))
    gradients = Gradients(exact.b_values + jitter, exact.directions)
    assert gradients.words == f"4 x b0 + 64 x b{nominal}"
    assert gradients.for_tensor.all() and "single-shell" in why_no_noddi(gradients)


def test_a_gap_of_more_than_100_starts_a_shell():
    assert scheme((1, 0), (6, 700), (6, 800)).shells == [750]
    assert scheme((1, 0), (6, 700), (6, 850), (6, 1000)).shells == [700, 850, 1000]
    assert scheme((2, 0)).shells == []
