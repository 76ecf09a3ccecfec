"""Intensity scaling that is fitted on training images once and travels inside the checkpoint."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from custom_nets.presence import modalities_present

SCALINGS = ("residual", "min_max")


class ImageScaling(nn.Module):
    """Maps images in their own units to what the network sees, and back.

    `residual` (default): (x - mean image) / s, where s is one number per modality: the median over training subjects
    of the root mean square of x - mean image in the brain mask. `min_max` (the paper): (x - min) / (max - min + 1e-20)
    per voxel over training subjects. Both give 0 outside the brain mask on the way in and the mean image there on the
    way back. Nothing is clipped and nothing is fitted on the images that are being scaled.

    Args:
        kind: `residual` or `min_max`.
        n_modalities: M.
        spatial_size: the grid `(D, H, W)`.

    Attributes:
        mean_image: `(M, D, H, W)`, mean of the training images in their own units.
        brain_mask: `(D, H, W)`, 1 where every modality is non-zero in at least half of the training images.
        offset, factor: image = offset + factor * scaled in the mask; `(M, D, H, W)` with `min_max`, `(M, 1, 1, 1)` with
            `residual`, whose offset is the mean image.
        base, gain: `(M, D, H, W)`, the same, with the mean image and 0 outside the mask; made of the above, not stored.
        inverse_gain: 1 / gain, and 0 outside the mask; not stored.
        n_fitted: training images seen; 0 until fitted.

    Raises:
        ValueError: for another `kind`.
    """

    mean_image: Tensor
    brain_mask: Tensor
    offset: Tensor
    factor: Tensor
    base: Tensor
    gain: Tensor
    inverse_gain: Tensor
    n_fitted: Tensor

    def __init__(self, kind: str, n_modalities: int, spatial_size: tuple[int, int, int]) -> None:
        super().__init__()
        if kind not in SCALINGS:
            raise ValueError(f"Expected scaling to be one of {SCALINGS}, got {kind!r}.")
        self.kind = kind
        self.register_buffer("mean_image", torch.zeros(n_modalities, *spatial_size))
        self.register_buffer("brain_mask", torch.ones(*spatial_size))
        whole = spatial_size if kind == "min_max" else (1, 1, 1)
        self.register_buffer("offset", torch.zeros(n_modalities, *whole))
        self.register_buffer("factor", torch.ones(n_modalities, *whole))
        self.register_buffer("n_fitted", torch.zeros((), dtype=torch.long))
        self.register_buffer("base", torch.zeros(n_modalities, *spatial_size), persistent=False)
        self.register_buffer("gain", torch.ones(n_modalities, *spatial_size), persistent=False)
        self.register_buffer("inverse_gain", torch.ones(n_modalities, *spatial_size), persistent=False)
        self.register_load_state_dict_post_hook(lambda module, _: module._spread())

    def forward(self, images: Tensor) -> Tensor:
        """`(B, M, D, H, W)` in the images' units to scaled values, 0 outside the mask."""
        return (images - self.base) * self.inverse_gain

    def inverse(self, scaled: Tensor) -> Tensor:
        """`(B, M, D, H, W)` scaled values to the images' units, the mean image outside the mask."""
        return torch.addcmul(self.base, self.gain, scaled)

    @torch.no_grad()
    def fit(self, images: Callable[[], Iterable[Tensor]]) -> None:
        """Fit on training images.

        Args:
            images: returns an iterable over `(M, D, H, W)` images, one per subject; it is gone through twice. A map that
                a subject does not have is NaN everywhere and counts for nothing.

        Raises:
            ValueError: without images of a modality, where no voxel is brain, or where a modality is the same in all subjects.
        """
        n_images = 0
        count = torch.zeros(len(self.mean_image), 1, 1, 1, dtype=torch.long, device=self.mean_image.device)
        total = torch.zeros_like(self.mean_image, dtype=torch.float64)
        non_zero = torch.zeros_like(self.mean_image)
        lowest = torch.full_like(self.mean_image, float("inf"))
        highest = -lowest
        for image in images():
            image = image.to(self.mean_image.device)
            has = modalities_present(image[None])[0].view(-1, 1, 1, 1)
            n_images += 1
            count += has
            total += image.where(has, 0)
            non_zero += (image != 0) & has
            lowest = torch.minimum(lowest, image.where(has, float("inf")))
            highest = torch.maximum(highest, image.where(has, -float("inf")))
        if not bool((count > 0).all()):
            without = torch.nonzero(count.flatten() == 0).flatten().tolist()
            raise ValueError(
                "Expected at least one training subject with each modality to fit the intensity scaling on, got none "
                f"with modality number {without}."
            )
        is_brain = (non_zero >= 0.5 * count).all(dim=0)
        if not is_brain.any():
            raise ValueError(
                "No voxel is non-zero in at least half of the training subjects in every modality: "
                "are the images in one space and masked by the same brain?"
            )
        self.mean_image.copy_((total / count).float())
        self.brain_mask.copy_(is_brain.float())
        if self.kind == "min_max":
            offset, gain = lowest, highest - lowest + 1e-20
            # a voxel that never varies carries nothing; dividing by 1e-20 would only blow up new subjects
            gain[gain < 1e-12] = 1.0
        else:
            spreads = [
                (image.to(self.mean_image.device) - self.mean_image)[:, is_brain].square().mean(dim=1).sqrt()
                for image in images()
            ]
            spread = torch.stack(spreads).nanmedian(dim=0).values
            if bool((spread <= 0).any()):
                flat = torch.nonzero(spread <= 0).flatten().tolist()
                raise ValueError(f"Modality number {flat} is the same in at least half of the training subjects.")
            offset, gain = self.mean_image, spread.view(-1, 1, 1, 1)
        self.offset.copy_(offset if self.kind == "min_max" else torch.zeros_like(self.offset))
        self.factor.copy_(gain)
        self.n_fitted.fill_(n_images)
        self._spread()

    def _spread(self) -> None:
        """Lay offset and factor out over the grid."""
        is_brain = self.brain_mask > 0
        offset = self.offset if self.kind == "min_max" else self.mean_image
        self.base.copy_(torch.where(is_brain, offset, self.mean_image))
        self.gain.copy_(self.factor * is_brain)
        self.inverse_gain.copy_(is_brain / self.factor)
