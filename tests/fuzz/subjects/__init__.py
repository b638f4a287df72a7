"""One file a subject of fuzzing."""
