"""Bytes that nobody meant: every place where alcli reads something is given what it cannot expect."""
