"""Scenarios that harm a running groovemark on purpose, and count what was lost or doubled."""
