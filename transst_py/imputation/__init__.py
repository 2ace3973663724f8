"""Imputation of spots: lattices and baseline methods on arrays; `transst_py.tl.impute` is for AnnData."""
