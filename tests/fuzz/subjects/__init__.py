"""What is fuzzed: one file for each kind of thing that alcli reads."""
