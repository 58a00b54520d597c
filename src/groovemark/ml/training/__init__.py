"""Searching and fitting."""
