"""Stage 0: expression of spots by genes, in memory or not, normalised, and the genes that enter the model."""
