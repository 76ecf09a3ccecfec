from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch

from bundle.data.check import check_against_network, check_images, explain_padding

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
GRID = (8, 8, 6)


def save(path, voxels=None, affine=AFFINE, seed=0):
    voxels = np.random.default_rng(seed).random(GRID) if voxels is None else voxels
    nib.save(nib.Nifti1Image(voxels.astype(np.float32), affine), path)
    return str(path)


@pytest.fixture
def items(tmp_path):
    return [{"participant_id": f"sub-{n}", "T1w": save(tmp_path / f"sub-{n}.nii.gz", seed=n)} for n in range(4)]


def broken(items, tmp_path, voxels=None, affine=AFFINE, which=2):
    items[which]["T1w"] = save(tmp_path / "broken.nii.gz", voxels, affine)
    return check_images(items, ["T1w"], GRID)


def test_sound_images_have_no_problem(items):
    assert check_images(items, ["T1w"], GRID) == []


def test_images_in_another_orientation_of_the_same_space_are_sound(items, tmp_path):
    image = nib.load(items[1]["T1w"])
    flipped = image.as_reoriented(np.array([[1, -1], [0, 1], [2, 1]]))
    path = tmp_path / "flipped.nii.gz"
    nib.save(flipped, path)
    items[1]["T1w"] = str(path)
    assert check_images(items, ["T1w"], GRID) == []


@pytest.mark.parametrize(
    ("voxels", "affine", "words"),
    [
        (np.arange(320.0).reshape(8, 8, 5), AFFINE, "expected the grid 8 x 8 x 6 of most files, got 8 x 8 x 5"),
        (np.arange(384.0).reshape(GRID), np.diag([2.0, 2.0, 2.5, 1.0]), "its affine differs"),
        (np.zeros(GRID), AFFINE, "every voxel is zero"),
        (np.full(GRID, np.nan), AFFINE, "in 384 of its voxels"),
        (np.full(GRID, np.inf), AFFINE, "NaN or infinite"),
        (np.full(GRID, 1e30), AFFINE, "above 1e15"),
        (np.full(GRID, 5.0), AFFINE, "every voxel is 5:"),
        (np.ones((*GRID, 3)), AFFINE, "expected 3 axes, got 4"),
    ],
)
def test_image_that_cannot_be_used_is_named_with_what_is_wrong(items, tmp_path, voxels, affine, words):
    problems = broken(items, tmp_path, voxels, affine)
    assert len(problems) == 1 and words in problems[0]
    assert "sub-2, T1w" in problems[0] and "broken.nii.gz" in problems[0]


def test_the_odd_affine_is_named_wherever_it_stands(items, tmp_path):
    (problem,) = broken(items, tmp_path, affine=np.diag([2.0, 2.0, 2.5, 1.0]), which=0)
    assert "sub-0, T1w" in problem


def test_voxels_a_little_larger_that_end_millimetres_elsewhere_are_another_grid(tmp_path):
    grid, items = (90, 108, 90), []
    for number, size in enumerate((2.0, 2.0, 2.019)):
        path = save(
            tmp_path / f"{number}.nii.gz", number + np.arange(np.prod(grid)).reshape(grid), np.diag([size] * 3 + [1])
        )
        items.append({"participant_id": f"sub-{number}", "T1w": path})
    (problem,) = check_images(items, ["T1w"], grid)
    assert "sub-2, T1w" in problem and "a corner of the grid lies 3.14 mm elsewhere" in problem


def test_affines_that_differ_by_rounding_are_the_same(tmp_path):
    affine = nib.affines.from_matvec(nib.eulerangles.euler2mat(3.14, 0.1, 0.2) * 0.9375, [90.123456, -126.7, -72.3])
    items = []
    for number, name in enumerate(("sform", "qform")):
        image = nib.Nifti1Image(number + np.arange(384, dtype=np.float32).reshape(GRID), affine)
        image.set_sform(affine, int(name == "sform"))
        image.set_qform(affine, 1)
        nib.save(image, tmp_path / f"{name}.nii.gz")
        items.append({"participant_id": name, "T1w": str(tmp_path / f"{name}.nii.gz")})
    assert check_images(items, ["T1w"], GRID) == []


def test_truncated_file_is_named(items, tmp_path):
    whole = (tmp_path / "sub-1.nii.gz").read_bytes()
    (tmp_path / "sub-1.nii.gz").write_bytes(whole[: len(whole) // 2])
    (problem,) = check_images(items, ["T1w"], GRID)
    assert "sub-1, T1w" in problem and "cannot be read" in problem


def test_file_with_a_wrong_checksum_is_named(items, tmp_path):
    whole = (tmp_path / "sub-1.nii.gz").read_bytes()
    (tmp_path / "sub-1.nii.gz").write_bytes(whole[:-8] + bytes(8))
    (problem,) = check_images(items, ["T1w"], GRID)
    assert "sub-1, T1w" in problem and "cannot be read" in problem


def test_file_that_is_no_image_is_named(items, tmp_path):
    (tmp_path / "sub-3.nii.gz").write_text("not an image")
    (problem,) = check_images(items, ["T1w"], GRID)
    assert "sub-3, T1w" in problem and "cannot be read" in problem


def test_a_broken_file_in_a_folder_with_a_colon_is_said_once(tmp_path):
    folder = tmp_path / "study: pilot"
    folder.mkdir()
    (folder / "t1.nii.gz").write_text("not an image")
    network = SimpleNamespace(modalities=("T1w",), spatial_size=GRID, grid_affine=torch.eye(4))
    (problem,) = check_against_network([{"participant_id": "a", "T1w": str(folder / "t1.nii.gz")}], network)
    assert problem.startswith(f"a, T1w, {folder / 't1.nii.gz'}: cannot be read (")


def test_one_persons_image_under_anothers_name_is_named_for_both(items, tmp_path):
    items[2]["T1w"] = str(tmp_path / "copy.nii")
    nib.save(nib.load(items[0]["T1w"]).as_reoriented(np.array([[1, -1], [0, 1], [2, 1]])), items[2]["T1w"])
    first, second = check_images(items, ["T1w"], GRID)
    assert first.startswith("sub-0, T1w") and "shows the same voxels as sub-2 T1w" in first
    assert second.startswith("sub-2, T1w") and "shows the same voxels as sub-0 T1w" in second


def test_all_problems_come_at_once(items, tmp_path):
    items[0]["T1w"] = save(tmp_path / "a.nii.gz", np.zeros(GRID))
    items[3]["T1w"] = save(tmp_path / "b.nii.gz", np.full(GRID, np.nan))
    assert len(check_images(items, ["T1w"], GRID)) == 2


def test_grid_larger_than_the_network_is_refused_and_a_smaller_one_explained(items):
    (problem,) = check_images(items, ["T1w"], (8, 8, 4))
    assert "8 x 8 x 6, the network takes 8 x 8 x 4" in problem
    assert "padded with zeros to 8 x 8 x 8" in explain_padding(GRID, (8, 8, 8))
    assert explain_padding(GRID, GRID) == ""
