"""Networks: building blocks and the fusion autoencoders."""

from custom_nets.fusion_autoencoder import FoldedFusionAutoencoder, FusionAutoencoder, PaperFusionAutoencoder
from custom_nets.size_table import mid_flow_saving, separable_saving, size_table, trainable_parameters

__all__ = [
    "FoldedFusionAutoencoder",
    "FusionAutoencoder",
    "PaperFusionAutoencoder",
    "mid_flow_saving",
    "separable_saving",
    "size_table",
    "trainable_parameters",
]
