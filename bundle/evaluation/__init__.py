"""What held-out participants say of a network: metrics, the PCA baseline, changed embeddings, subsets of maps."""
