"""Tools on AnnData: domains, marker genes, imputation."""

from transst_py.tl._impute import impute
from transst_py.tl._markers import rank_domain_genes, split_counts
from transst_py.tl._transst import transst

__all__ = ["impute", "rank_domain_genes", "split_counts", "transst"]
