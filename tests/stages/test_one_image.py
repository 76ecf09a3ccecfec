"""Programs that hand over one image and call preprocessing, inferer and postprocessing themselves, as MONAI Label does."""

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from bundle.data.problems import InputProblems
from bundle.trained.weights import read_weights
from tests.conftest import PATTERNS, ROOT, TINY_NETWORK

PERSON = "sub-0007"
TURNED = np.array([[2, 1], [0, -1], [1, 1]])
"""Another order of axes, one of them the other way round."""


class Steps:
    """The three steps and the network, from the inference config alone."""

    def __init__(self, weights):
        config = ConfigParser()
        config.read_config(ROOT / "configs" / "inference.yaml")
        config["spatial_size"], config["network_def"] = [32, 32, 24], TINY_NETWORK
        config.parse()
        self.network = config.get_parsed_content("network_def").eval()
        self.network.load_state_dict(weights)
        self.before, self.inferer, self.after = (
            config.get_parsed_content(key) for key in ("preprocessing", "inferer", "postprocessing")
        )

    @torch.no_grad()
    def run(self, data):
        """All maps as drawn."""
        self.data = self.before(data)
        self.data["pred"] = self.inferer(self.data["image"][None], self.network)[0]
        return self.data["pred"][0]

    def shown(self):
        """What postprocessing makes of the last run."""
        return self.after(self.data)["pred"]


@pytest.fixture
def steps(trained):
    return Steps(read_weights(trained / "2_training" / "model.pt"))


def files_of(cohort):
    return {name: str(cohort / pattern.format(participant_id=PERSON)) for name, pattern in PATTERNS.items()}


def joined(cohort, n_maps=4, shift=0.0):
    """A participant's maps as one 4D image, made as docs/consumers.md says."""
    image = nib.concat_images([nib.load(file) for file in files_of(cohort).values()][:n_maps])
    image.set_data_dtype("float32")
    image.affine[0, 3] += shift
    return image


def test_one_4d_file_in_another_orientation_gives_what_separate_files_give(steps, tiny_cohort, tmp_path):
    image = joined(tiny_cohort).as_reoriented(TURNED)
    nib.save(image, tmp_path / "all.nii.gz")
    drawn = steps.run({"image": str(tmp_path / "all.nii.gz")})
    shown = steps.shown()
    expected = steps.run(files_of(tiny_cohort))
    assert torch.allclose(drawn, expected, atol=1e-3 * float(expected.abs().max()))
    assert shown.shape == (1, *image.shape[:3]) and np.allclose(shown.affine, image.affine)
    back = nib.as_closest_canonical(nib.Nifti1Image(shown[0].numpy(), image.affine)).get_fdata()
    assert np.allclose(back, drawn[0].numpy(), atol=1e-4 * float(drawn[0].abs().max()))


def test_an_array_that_says_where_its_channels_are_is_taken_as_well(steps, tiny_cohort):
    image = joined(tiny_cohort)
    array = MetaTensor(image.get_fdata(dtype=np.float32), affine=image.affine, meta={"original_channel_dim": -1})
    expected = steps.run(files_of(tiny_cohort))
    assert torch.allclose(steps.run({"image": array}), expected, atol=1e-3 * float(expected.abs().max()))


def test_what_else_is_known_of_a_person_stays(steps, tiny_cohort):
    data = steps.before({**files_of(tiny_cohort), "participant_id": PERSON})
    assert set(data) == {"participant_id", "image"} and not isinstance(data["image"], MetaTensor)


def test_too_few_maps_another_space_and_no_image_are_refused_in_words(steps, tiny_cohort, tmp_path):
    nib.save(joined(tiny_cohort, n_maps=3), tmp_path / "three.nii.gz")
    nib.save(joined(tiny_cohort, shift=12.0), tmp_path / "elsewhere.nii.gz")
    with pytest.raises(InputProblems, match=r"must hold T1w, FA, NDI, JAC in this order .* got 3 of \(32, 32, 24\)"):
        steps.before.transforms[0]({"image": str(tmp_path / "three.nii.gz")})
    with pytest.raises(InputProblems, match="Not in the template space of the training images"):
        steps.run({"image": str(tmp_path / "elsewhere.nii.gz")})
    with pytest.raises(InputProblems, match="a file for each of T1w, FA, NDI, JAC, or 'image'"):
        steps.before.transforms[0]({"T2w": "t2.nii.gz"})
