"""Plots on matplotlib Axes.

No function touches pyplot's global state. `axes.figure` is what to save, with `savefig`; a notebook shows it
as the last line of a cell, after `%matplotlib inline`.
"""

from transst_py.pl._agreement import agreement
from transst_py.pl._choice import n_domains
from transst_py.pl._confidence import confidence
from transst_py.pl._convergence import convergence
from transst_py.pl._domains import domains
from transst_py.pl._imputation import imputation
from transst_py.pl._markers import markers
from transst_py.pl._transfer import transfer_path
from transst_py.pl._transfer_report import transfer_report

__all__ = [
    "agreement",
    "confidence",
    "convergence",
    "domains",
    "imputation",
    "markers",
    "n_domains",
    "transfer_path",
    "transfer_report",
]
