"""What a network costs and saves, computed from the network itself."""

from __future__ import annotations

from math import prod

from torch import nn

from custom_nets.fusion_autoencoder import FusionAutoencoder
from custom_nets.linear_embedding import LinearEmbedding
from custom_nets.mid_flow import MidFlow3d, ResidualMidFlow3d
from custom_nets.separable_conv import SeparableConv3d


def separable_saving(kernel_voxels: int, channels: int) -> float:
    """Weights of a standard convolution over those of a separable one at constant width: kC / (k + C)."""
    return kernel_voxels * channels / (kernel_voxels + channels)


def trainable_parameters(module: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def closed_form_values(module: nn.Module) -> int:
    """Number of values in 8 and 16 bits that are fitted in closed form; 0 of networks that have none."""
    return sum(part.bases.numel() + part.axes.numel() for part in module.modules() if isinstance(part, LinearEmbedding))


def mid_flow_saving(module: nn.Module) -> float:
    """Depthwise-separable saving pooled over all mid-flows of a module: standard weights over separable ones.

    1 if the mid-flows are standard convolutions; biases and norms are left out.
    """
    standard = separable = 0
    for depthwise, pointwise in _separable_pairs(module):
        standard += prod(depthwise.shape[2:]) * pointwise.numel()
        separable += depthwise.numel() + pointwise.numel()
    return standard / separable if separable else 1.0


def size_table(network: FusionAutoencoder, native_voxels_per_modality: int | None = None) -> str:
    """Parameters by part, separable saving, and how many image values share one embedding value.

    Args:
        network: any fusion autoencoder.
        native_voxels_per_modality: voxels of an image before it was resampled to the network's grid, if known.
    """
    parts = {name: trainable_parameters(part) for name, part in network.named_children() if trainable_parameters(part)}
    rows = [(name, f"{count:,}") for name, count in parts.items()]
    rows += [("all parameters", f"{sum(parts.values()):,}")]
    if fitted := closed_form_values(network):
        rows.append(("in closed form, 8 and 16 bits", f"{fitted:,}"))
    rows += [("mid-flow weights, standard over separable", f"{mid_flow_saving(network):.1f}")]
    n_modalities, voxels = len(network.modalities), prod(network.spatial_size)
    size = network.embedding_size
    rows += [
        ("embedding", f"{size} values = {' x '.join(map(str, network.code_shape))}"),
        ("image values per embedding value, one volume", f"{voxels / size:,.0f}"),
        (f"image values per embedding value, {n_modalities} volumes", f"{n_modalities * voxels / size:,.0f}"),
    ]
    if native_voxels_per_modality:
        rows.append(("the same on the images' own grid", f"{n_modalities * native_voxels_per_modality / size:,.0f}"))
    width = max(len(label) for label, _ in rows)
    grid = " x ".join(map(str, network.spatial_size))
    title = f"{type(network).__name__}: {', '.join(network.modalities)} on {grid}"
    return "\n".join([title, *[f"  {label:<{width}}  {value}" for label, value in rows]])


def _separable_pairs(module: nn.Module):
    """(depthwise, pointwise) weights inside the mid-flows."""
    for part in module.modules():
        if isinstance(part, MidFlow3d):
            for conv in part.modules():
                if isinstance(conv, SeparableConv3d):
                    yield conv[0].weight, conv[1].weight
        elif isinstance(part, ResidualMidFlow3d):
            for unit in part.units:
                yield unit[1].weight, unit[2].weight
