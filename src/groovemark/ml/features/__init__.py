"""Feature sets and their extraction."""
