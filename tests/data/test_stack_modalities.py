import pytest
import torch
from monai.data import MetaTensor

from bundle.data.stack_modalities import StackModalitiesd


def test_maps_stand_in_order_and_absent_ones_are_nan():
    data = {"JAC": torch.full((1, 2, 3, 4), 2.0), "T1w": MetaTensor(torch.ones(1, 2, 3, 4)), "participant_id": "a"}
    stacked = StackModalitiesd(["T1w", "FA", "JAC"])(data)
    image = stacked["image"]
    assert image.shape == (3, 2, 3, 4) and image.dtype == torch.float32 and type(image) is torch.Tensor
    assert (image[0] == 1).all() and image[1].isnan().all() and (image[2] == 2).all()
    assert stacked["participant_id"] == "a"


def test_nobody_without_any_map():
    with pytest.raises(KeyError, match="None of"):
        StackModalitiesd(["T1w"])({"FA": torch.ones(1, 2, 2, 2)})


def test_an_image_that_is_there_already_stays():
    image = torch.ones(2, 1, 1, 1)
    assert StackModalitiesd(["T1w", "FA"])({"image": image})["image"] is image
