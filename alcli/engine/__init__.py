"""Torch without a workspace: batches, training, inference, and the saved state of a training run."""
