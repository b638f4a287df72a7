"""Turn an annotation project into a ranked to-do list for its annotators, every labelling cycle."""

__version__ = "0.1.0"
