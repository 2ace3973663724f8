"""Marker genes of domains, and counts split in two for honest tests."""
