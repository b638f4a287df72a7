"""Real runs of alcli that are killed, or refused by the system, at a chosen one of their system calls."""
