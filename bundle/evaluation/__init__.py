"""What held-out participants say of a network: metrics, the PCA baseline, changed codes, subsets of maps."""
