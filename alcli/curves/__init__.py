"""Learning curves: history, forecast and outlook, and the comparison of simulated curves."""
