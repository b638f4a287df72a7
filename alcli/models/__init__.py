"""Networks and their weights, one file per family; the loss head and the uncertainty measures on their outputs."""
