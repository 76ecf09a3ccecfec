import pytest
import torch
from ignite.engine import Engine

from bundle.handlers.stop_on_nan import StopOnNan

HEALTHY = torch.zeros(1, 2, 2, 2)


def run(loss, images):
    engine = Engine(lambda engine, batch: [{"loss": loss} for _ in batch])
    StopOnNan().attach(engine)
    engine.run([[{"participant_id": f"sub-{number}", "image": image} for number, image in enumerate(images)]])


def test_finite_loss_goes_on():
    run(0.5, [HEALTHY])


def test_person_whose_image_is_not_finite_is_named():
    with pytest.raises(FloatingPointError, match="the image of sub-1 is not finite"):
        run(float("nan"), [HEALTHY, HEALTHY / 0])


def test_divergence_on_sound_images_names_the_learning_rate():
    with pytest.raises(FloatingPointError, match="lower --learning_rate"):
        run(float("inf"), [HEALTHY])


def test_whoever_lacks_a_map_is_not_blamed():
    lacks = torch.stack([HEALTHY[0], torch.full_like(HEALTHY[0], torch.nan)])
    with pytest.raises(FloatingPointError, match="lower --learning_rate"):
        run(float("nan"), [torch.zeros(2, 2, 2, 2), lacks])
    broken = lacks.clone()
    broken[0, 0, 0, 0] = torch.nan
    with pytest.raises(FloatingPointError, match="the image of sub-1 is not finite"):
        run(float("nan"), [lacks, broken])
