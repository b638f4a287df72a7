"""The only place that orders items."""
