"""`transst_py.report` (`write.py`): the page, and the sections on it."""
