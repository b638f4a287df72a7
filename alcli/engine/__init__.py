"""Torch without a workspace: batches, training, inference, and the state of a training."""
