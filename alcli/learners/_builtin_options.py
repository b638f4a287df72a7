"""Settings of the built-in learner, in a file of their own: reading them must not import torch."""

from __future__ import annotations

from alcli.config import LearnerOptions


class BuiltinOptions(LearnerOptions):
    """Everything about alcli's own networks is in the sections model, train and score."""
