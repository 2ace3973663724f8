"""R objects as AnnData and back, inside one process (needs the extra `transst-py[r]`).

Importing this subpackage starts no R: rpy2 is loaded when the first object is converted.
"""

from ._convert import from_r, to_r

__all__ = ["from_r", "to_r"]
