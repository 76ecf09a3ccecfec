"""A participant's maps from their files, or from one image that holds them all."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.data import MetaTensor
from monai.transforms import EnsureChannelFirst, LoadImage, MapTransform

from bundle.data.problems import InputProblems


class ReadMapsd(MapTransform):
    """Loads a file per map; or, given `name` instead, one image with all maps as its last axis.

    The second form is for programs that hand over one image, as MONAI Label does (a path) and MONAI Deploy (an array that was
    read already). Like MONAI's `LoadImaged` it keeps affine and orientation, so that what follows can be inverted.

    Args:
        keys: modalities, in channel order.
        name: of the image that holds them all.

    Shapes: paths in, `(1, D, H, W)` each out; the image `(M, D, H, W)`, from a NIfTI file or array `(D, H, W, M)`.

    Raises:
        InputProblems: if neither is there, or the image has not one channel for each modality.
    """

    def __init__(self, keys: Sequence[str], name: str = "image") -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.name = name
        self._load = LoadImage(image_only=True, ensure_channel_first=True)
        self._channel_first = EnsureChannelFirst()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        read = dict(data)
        if self.name in read:
            read[self.name] = self._all_in_one(read[self.name])
            return read
        there = [key for key in self.keys if key in read]
        if not there:
            raise InputProblems(
                "Images",
                [
                    f"Expected a file for each of {self._names}, or {self.name!r} with one 4D image of them all, got "
                    f"{', '.join(map(str, read)) or 'nothing'}."
                ],
            )
        for key in there:
            read[key] = self._load(read[key])
        return read

    def _all_in_one(self, source: Any) -> Any:
        image = self._channel_first(source) if isinstance(source, MetaTensor) else self._load(source)
        if len(image) != len(self.keys):
            raise InputProblems(
                "Images",
                [
                    f"{self.name!r} must hold {self._names} in this order as its last axis, which is {len(self.keys)} channels, "
                    f"got {len(image)} of {tuple(image.shape[1:])}: join the maps to one 4D image, or give a file for each."
                ],
            )
        return image

    @property
    def _names(self) -> str:
        return ", ".join(map(str, self.keys))
