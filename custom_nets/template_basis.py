"""How a registered image can differ from the mean image, to first order."""

from __future__ import annotations

import torch
from torch import Tensor

BASIS_NAMES = ("offset", "contrast", "shift along D", "shift along H", "shift along W")


@torch.no_grad()
def template_basis(mean_image: Tensor, brain_mask: Tensor) -> Tensor:
    """Five spatial modes per modality: 1, the mean image itself, and its three spatial derivatives.

    A small displacement u of a registered image changes it by u . grad(mean) (the first-order brightness equation of
    Lucas & Kanade 1981), a change of tissue contrast by a multiple of the mean. A network that works on products with
    these modes sees displacement and contrast as smooth fields, wherever in the brain it looks.

    Args:
        mean_image: `(M, D, H, W)`.
        brain_mask: `(D, H, W)`.

    Returns:
        `(M, 5, D, H, W)`, each mode of unit root mean square in the mask and 0 outside. A mode without variation (the
        derivatives of a flat mean image, such as that of a Jacobian map) is 0.
    """
    inside = brain_mask > 0
    modes = []
    for image in mean_image:
        contrast = image - image[inside].mean()
        shifts = torch.gradient(image)
        stacked = torch.stack([torch.ones_like(image), contrast, *shifts]) * brain_mask
        size = stacked[:, inside].square().mean(dim=1).sqrt()
        negligible = 1e-2 * image[inside].abs().mean()
        factor = torch.where(size > negligible, 1 / size.clamp_min(1e-20), torch.zeros_like(size))
        factor[0] = 1 / size[0]
        modes.append(stacked * factor.view(-1, 1, 1, 1))
    return torch.stack(modes)
