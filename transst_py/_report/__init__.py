"""What `transst_py.report` is made of: the page, and the sections on it."""
