"""Random forests over any set of columns."""
