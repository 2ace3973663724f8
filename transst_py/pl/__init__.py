"""Plots on matplotlib Axes. No function touches pyplot's global state."""

from transst_py.pl._choice import n_domains
from transst_py.pl._domains import domains
from transst_py.pl._imputation import imputation

__all__ = ["domains", "imputation", "n_domains"]
