"""A trained network: read from its weights, named by a hash, and asked what it knows of images and maps."""
