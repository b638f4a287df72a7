"""Simulation of active learning on existing labels: which strategy would have saved work, and how certain that is."""
