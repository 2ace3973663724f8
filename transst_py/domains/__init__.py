"""Stage 3: spatial domains of the scores, how many there are, and their names."""
