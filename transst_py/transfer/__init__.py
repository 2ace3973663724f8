"""Stage 2: what of the source the target takes over, loadings and labels."""
