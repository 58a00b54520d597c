"""Batches: submitting, watching, reading results."""
