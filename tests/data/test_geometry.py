import gzip

import nibabel as nib
import numpy as np
import pytest

from bundle.data.check import inspect_image
from bundle.data.geometry import geometry_problem
from bundle.data.headers import inspect_header
from bundle.data.problems import InputProblems
from bundle.mapping.volume import read_volume


def image(shape=(4, 5, 6)):
    return nib.Nifti1Image(np.random.default_rng(0).random(shape).astype(np.float32), np.diag([3.0, 3, 3, 1]))


def saved(tmp_path, made, name="a.nii.gz"):
    nib.save(made, tmp_path / name)
    return str(tmp_path / name)


def without_place():
    made = image()
    made.set_sform(made.affine, code=0)
    made.set_qform(made.affine, code=0)
    return made


def in_metres():
    made = image()
    made.header.set_xyzt_units("meter")
    return made


@pytest.mark.parametrize(("made", "word"), [(without_place(), "codes are 0"), (in_metres(), "meter")])
def test_every_door_refuses_what_says_no_place_or_another_unit(tmp_path, made, word):
    file = saved(tmp_path, made)
    for inspect in (inspect_image, inspect_header):
        found = inspect(("sub-1", "T1w", file))
        assert found.problem is not None and word in found.problem.reason
    with pytest.raises(InputProblems):
        read_volume(tmp_path / "a.nii.gz")


def test_what_says_where_it_lies_passes(tmp_path):
    made = image()
    made.header.set_xyzt_units("mm")
    assert geometry_problem(nib.load(saved(tmp_path, made))) is None
    made.header.set_xyzt_units("unknown")
    made.set_qform(None, code=0)
    assert geometry_problem(nib.load(saved(tmp_path, made))) is None


def test_a_header_that_asks_for_more_than_its_file_holds_is_refused_unread(tmp_path):
    file = tmp_path / "a.nii.gz"
    header = image().header.copy()
    header.set_data_shape((3000, 3000, 3000))
    header.set_sform(np.eye(4), code=1)
    file.write_bytes(gzip.compress(header.binaryblock + bytes(4) + bytes(1000)))
    found = inspect_image(("sub-1", "T1w", str(file)))
    assert found.problem is not None and "can hold" in found.problem.reason
