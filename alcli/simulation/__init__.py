"""Active learning replayed on labels that are there already: which strategy would have saved work, and how surely."""
