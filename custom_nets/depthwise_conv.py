"""Depthwise 3D convolution whose backward pass runs on PyTorch's fast CPU kernels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def same_padding(kernel_size: Sequence[int]) -> list[int]:
    """Zero padding of "same" convolution in `F.pad` order; an even kernel pads one voxel more at the far end."""
    pairs = [((size - 1) // 2, size // 2) for size in reversed(kernel_size)]
    return [width for pair in pairs for width in pair]


class _DepthwiseConv3dFunction(torch.autograd.Function):
    """Stride-1 depthwise convolution of an already padded volume.

    The input gradient is the forward kernel with the flipped filter. The weight gradient is one 2D depthwise weight
    gradient per filter plane, slices folded into the batch. Both are exact, and in torch 2.13 both avoid the CPU
    kernels that the native backward pass takes (`benchmarks/depthwise.py` shows the ratio).
    """

    @staticmethod
    def forward(ctx, padded: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(padded, weight)
        return F.conv3d(padded, weight, groups=weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output: Tensor) -> tuple[Tensor | None, Tensor | None]:
        padded, weight = ctx.saved_tensors
        channels, _, depth, height, width = weight.shape
        grad_output = grad_output.contiguous(memory_format=torch.channels_last_3d)
        grad_padded = grad_weight = None
        if ctx.needs_input_grad[0]:
            full = [width - 1, width - 1, height - 1, height - 1, depth - 1, depth - 1]
            grad_padded = F.conv3d(F.pad(grad_output, full), weight.flip(2, 3, 4), groups=channels)
        if ctx.needs_input_grad[1]:
            slices = _as_slices(padded)
            # trailing empty slices keep the pairs below from reaching into the next sample of the batch
            grads = _as_slices(F.pad(grad_output, [0, 0, 0, 0, 0, depth - 1]))
            planes = [
                _weight_gradient_2d(slices[plane:], grads[: len(grads) - plane], weight[:, :, plane])
                for plane in range(depth)
            ]
            grad_weight = torch.stack(planes, dim=2)
        return grad_padded, grad_weight


def _as_slices(volume: Tensor) -> Tensor:
    """`(B, C, D, H, W)` to `(B * D, C, H, W)` in channels-last memory."""
    batch, channels, depth, height, width = volume.shape
    slices = volume.permute(0, 2, 3, 4, 1).reshape(batch * depth, height, width, channels)
    return slices.permute(0, 3, 1, 2)


def _weight_gradient_2d(slices: Tensor, grads: Tensor, weight: Tensor) -> Tensor:
    none = [0, 0]
    return torch.ops.aten.convolution_backward(
        grads, slices, weight, None, [1, 1], none, [1, 1], False, none, weight.shape[0], [False, True, False]
    )[1]


@torch.jit.unused
def _fast_depthwise_conv3d(padded: Tensor, weight: Tensor) -> Tensor:
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        padded, weight = padded.to(dtype), weight.to(dtype)
    return _DepthwiseConv3dFunction.apply(padded, weight)


class DepthwiseConv3d(nn.Module):
    """One filter per channel, "same" zero padding, stride 1.

    On a CPU, where torch's own backward pass takes kernels that are many times slower, gradients go through an exact
    reformulation; elsewhere, and while scripting, tracing or exporting, this is a plain `conv3d`, on a GPU of contiguous volumes
    (of channels-last ones cuDNN takes two to seven times as long). The fast form supports first derivatives only and says
    so when a second one is asked for.

    Args:
        channels: number of input and output channels.
        kernel_size: size per axis, odd or even. Even sizes pad one voxel more at the far end.
        bias: learn one offset per channel.

    Shapes: `(B, C, D, H, W)` in, the same out.
    Source: Dimitri et al. (2022) use depthwise separable convolutions in the mid-flow (Keras `SeparableConv`).
    """

    def __init__(self, channels: int, kernel_size: Sequence[int], bias: bool = False) -> None:
        super().__init__()
        self.padding = same_padding(kernel_size)
        self.weight = nn.Parameter(torch.empty(channels, 1, *kernel_size))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None
        nn.init.kaiming_normal_(self.weight, nonlinearity="linear")

    def forward(self, volume: Tensor) -> Tensor:
        padded = F.pad(volume, self.padding)
        if padded.is_cuda:
            padded = padded.contiguous()
        if torch.jit.is_scripting() or torch.jit.is_tracing() or torch.compiler.is_compiling() or not padded.is_cpu:
            return F.conv3d(padded, self.weight, self.bias, groups=self.weight.shape[0])
        out = _fast_depthwise_conv3d(padded, self.weight)
        if self.bias is not None:
            out = out + self.bias.to(out.dtype).view(1, -1, 1, 1, 1)
        return out
