"""What shapes the maps of all participants."""

from __future__ import annotations

from dataclasses import dataclass, field

from bundle.data.problems import InputProblems
from bundle.mapping.brain import METHODS
from bundle.mapping.model_grid import MapSettings
from bundle.mapping.noddi import TissueGrid

REGISTRATIONS = ("demons", "ants", "given")
NODDI_FITS = ("grid", "amico")


@dataclass(frozen=True)
class MappingSettings:
    """What shapes the maps.

    Args:
        brain_mask: `auto` | `given` | `deepbet` | `template`.
        registration: `demons`, `ants`, or `given`: the warp in the participant's files.
        noddi: `grid`, the fit of ours, or `amico`.
        maps: see `MapSettings`.
        tissues: of the grid.
        device: where the grid is computed.

    Raises:
        InputProblems: for values that are not known.
    """

    brain_mask: str = "auto"
    registration: str = "demons"
    noddi: str = "grid"
    maps: MapSettings = field(default_factory=MapSettings)
    tissues: TissueGrid = field(default_factory=TissueGrid)
    device: str = "cpu"

    def __post_init__(self) -> None:
        known = {"brain_mask": METHODS, "registration": REGISTRATIONS, "noddi": NODDI_FITS}
        problems = [
            f"--{name} must be one of {', '.join(values)}, got {getattr(self, name)!r}."
            for name, values in known.items()
            if getattr(self, name) not in values
        ]
        if problems:
            raise InputProblems("Mapping", problems)

    @property
    def libraries(self) -> tuple[str, ...]:
        """Modules that are imported to make maps so."""
        chosen = [("ants", self.registration == "ants"), ("amico", self.noddi == "amico")]
        return ("SimpleITK", "dipy.reconst.dti", *(name for name, is_chosen in chosen if is_chosen))
