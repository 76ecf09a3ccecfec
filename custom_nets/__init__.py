"""Networks: building blocks and the fusion autoencoders."""

from custom_nets.fusion_autoencoder import FusionAutoencoder
from custom_nets.paper_autoencoder import PaperFusionAutoencoder
from custom_nets.refined_linear_autoencoder import RefinedLinearAutoencoder
from custom_nets.size_table import (
    closed_form_values,
    mid_flow_saving,
    separable_saving,
    size_table,
    trainable_parameters,
)

__all__ = [
    "FusionAutoencoder",
    "PaperFusionAutoencoder",
    "RefinedLinearAutoencoder",
    "closed_form_values",
    "mid_flow_saving",
    "separable_saving",
    "size_table",
    "trainable_parameters",
]
