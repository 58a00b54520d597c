"""Kinds of jobs of the classifier."""

CLASSIFY = "classify"
EXPORT = "export_results"
