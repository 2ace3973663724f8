"""Data sets for examples, tests and benchmarks: public tissue sections and simulated tissue."""

from transst_py.datasets._files import DataUnavailableError
from transst_py.datasets._her2st import her2st
from transst_py.datasets._simulated import simulated_tissue

__all__ = ["DataUnavailableError", "her2st", "simulated_tissue"]
