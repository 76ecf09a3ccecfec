"""Predicting participants' characteristics from embeddings: what the stage reads, says and plots."""
