"""Plumbing: linear algebra, files, threads, warnings, checks. It knows nothing of the method."""
