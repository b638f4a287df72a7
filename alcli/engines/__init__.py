"""Engines: where the parts of a scoring pass are computed. One file = one value of ``score.engine``; local has none."""
