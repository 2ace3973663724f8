"""Tools on AnnData: domains, check-up of the transfer, marker genes, imputation, binning."""

from transst_py.tl._bin import bin_cells
from transst_py.tl._evaluate_imputation import evaluate_imputation
from transst_py.tl._impute import impute
from transst_py.tl._markers import rank_domain_genes, split_counts
from transst_py.tl._transfer_report import transfer_report
from transst_py.tl._transst import transst

__all__ = [
    "bin_cells",
    "evaluate_imputation",
    "impute",
    "rank_domain_genes",
    "split_counts",
    "transfer_report",
    "transst",
]
