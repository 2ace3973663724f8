"""Imputation of spots: baseline methods on arrays; `transst_py.tl.impute` is for AnnData."""
