"""Turn an annotation project into a ranked to-do list for its annotators, in every labeling cycle."""

import os

__version__ = "0.1.0"

# With several threads Intel's MKL, torch's matrix products on a CPU, lets the last digits of a product depend on where
# its operands lie in memory, so that two equal trainings part. Its "conditional numerical reproducibility" ends that at
# no cost that could be measured; MKL reads the variable once, at its first product.
os.environ.setdefault("MKL_CBWR", "AUTO")
