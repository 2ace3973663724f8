"""`python -m transst_py`: the command line, where `transst` is not on the path."""

import sys

from transst_py.cli import console

sys.exit(console())
