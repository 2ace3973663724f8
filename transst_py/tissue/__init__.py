"""Who is whose neighbour: lattices of spots, and graphs."""
