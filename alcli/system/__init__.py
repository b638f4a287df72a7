"""Files, hashes, processes, locks, signals, logs, clocks and text; nothing here knows about images."""
