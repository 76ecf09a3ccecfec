import logging

import pytest
import torch

from bundle.engines import inferer
from bundle.engines.inferer import AutocastInferer, has_native_bfloat16
from custom_nets.depthwise_conv import DepthwiseConv3d

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def fresh():
    inferer._convolves_rightly.cache_clear()
    yield
    inferer._convolves_rightly.cache_clear()


def dtype_inside(volume):
    seen = []

    def network(inputs):
        seen.append(torch.nn.functional.conv3d(inputs, torch.ones(1, 1, 1, 1, 1)).dtype)
        return inputs

    assert AutocastInferer()(volume, network).dtype == torch.float32
    return seen[0]


def test_right_convolutions_are_taken_in_bfloat16_and_no_seed_is_spent(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    assert has_native_bfloat16(CPU)
    assert torch.equal(torch.rand(1), expected)
    assert dtype_inside(torch.randn(1, 1, 4, 4, 4)) == torch.bfloat16


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_evaluation_asks_first_as_well(mode, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    with mode():
        assert has_native_bfloat16(CPU)


def test_a_processor_that_computes_wrongly_is_told_once_and_float32_is_used(monkeypatch, caplog):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    right = DepthwiseConv3d.forward

    def wrong(self, volume):
        out = right(self, volume)
        return out.flip(2) if torch.is_autocast_enabled("cpu") else out

    monkeypatch.setattr(DepthwiseConv3d, "forward", wrong)
    with caplog.at_level(logging.WARNING):
        assert not has_native_bfloat16(CPU) and not has_native_bfloat16(CPU)
    assert caplog.text.count("bfloat16 convolutions give wrong values") == 1
    assert dtype_inside(torch.randn(1, 1, 4, 4, 4)) == torch.float32
