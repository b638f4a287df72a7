"""Files, hashes, processes, locks, signals, logs, clocks, texts: nothing here knows an image."""
