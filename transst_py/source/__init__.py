"""Stage 1: the labelled source, the factor model of it, and what its labels are worth."""
