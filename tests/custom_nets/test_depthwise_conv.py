import pytest
import torch
import torch.nn.functional as F

from custom_nets.depthwise_conv import DepthwiseConv3d

KERNELS = [(3, 3, 3), (5, 6, 5), (1, 2, 4)]


def native(layer, volume):
    return F.conv3d(F.pad(volume, layer.padding), layer.weight, layer.bias, groups=len(layer.weight))


def values_and_gradients(function, layer, volume):
    layer.zero_grad()
    volume = volume.detach().requires_grad_()
    out = function(volume)
    torch.manual_seed(1)
    out.backward(torch.randn_like(out))
    return out.detach(), volume.grad, layer.weight.grad.clone(), layer.bias.grad.clone()


@pytest.mark.parametrize("kernel_size", KERNELS)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_fast_form_has_the_native_values_and_gradients_in_float32(kernel_size, batch, memory_format):
    torch.manual_seed(0)
    layer = DepthwiseConv3d(4, kernel_size, bias=True)
    volume = torch.randn(batch, 4, 7, 8, 9).to(memory_format=memory_format)
    ours = values_and_gradients(layer, layer, volume)
    theirs = values_and_gradients(lambda v: native(layer, v), layer, volume)
    for mine, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kernel_size", KERNELS)
def test_fast_form_has_the_native_values_and_gradients_in_bfloat16(kernel_size):
    torch.manual_seed(0)
    layer = DepthwiseConv3d(4, kernel_size, bias=True)
    exact = values_and_gradients(lambda v: native(layer, v), layer, torch.randn(2, 4, 7, 8, 9))
    torch.manual_seed(0)
    layer = DepthwiseConv3d(4, kernel_size, bias=True)
    volume = torch.randn(2, 4, 7, 8, 9)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = values_and_gradients(layer, layer, volume)
    for mine, expected in zip(ours, exact, strict=True):
        # bfloat16 keeps 8 bits; sums over the volume scale the error with the result
        assert (mine.float() - expected).abs().max() <= 0.03 * expected.abs().max()


def test_gradients_are_those_of_finite_differences():
    layer = DepthwiseConv3d(2, (3, 2, 3), bias=True).double()
    volume = torch.randn(1, 2, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(
        lambda v, w, b: torch.func.functional_call(layer, {"weight": w, "bias": b}, v),
        (volume, layer.weight, layer.bias),
    )


def test_second_derivative_is_refused_in_words():
    layer = DepthwiseConv3d(2, (3, 3, 3))
    volume = torch.randn(1, 2, 4, 4, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(volume).square().sum(), volume, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_scripted_and_exported_forms_give_the_eager_values():
    layer = DepthwiseConv3d(3, (3, 4, 3), bias=True)
    volume = torch.randn(1, 3, 6, 6, 6)
    expected = layer(volume)
    torch.testing.assert_close(torch.jit.script(layer)(volume), expected)
    torch.testing.assert_close(torch.jit.trace(layer, volume)(volume), expected)
    torch.testing.assert_close(torch.export.export(layer, (volume,)).module()(volume), expected)
