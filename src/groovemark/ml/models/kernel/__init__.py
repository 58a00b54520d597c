"""Logistic regression under a Gaussian kernel, for which random waves stand."""
