"""One tensor of a participant's maps, whichever of them there are."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import MapTransform


class StackModalitiesd(MapTransform):
    """Puts one image in the place of the maps, in the order of `keys`; one that is not there becomes NaN everywhere.

    MONAI's `ConcatItemsd` would leave it out, and the channels behind it would stand for another modality. An image that is
    there already, see `ReadMapsd`, stays what it is.

    Args:
        keys: modalities, in channel order.
        name: of the image.

    Shapes: `(1, D, H, W)` each in, `(M, D, H, W)` float32 without metadata out.

    Raises:
        KeyError: if there are no maps and no image.
    """

    def __init__(self, keys: Sequence[str], name: str = "image") -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.name = name

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        if self.name in data:
            return dict(data)
        there = {key: torch.as_tensor(data[key]).float() for key in self.keys if key in data}
        if not there:
            raise KeyError(f"None of {list(self.keys)} is in {list(data)}.")
        absent = torch.full_like(next(iter(there.values())), torch.nan)
        maps = [there.get(key, absent) for key in self.keys]
        image = torch.cat([getattr(part, "as_tensor", lambda part=part: part)() for part in maps])
        return {**{key: value for key, value in data.items() if key not in self.keys}, self.name: image}
