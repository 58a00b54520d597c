"""Finished models handed on to other systems, and taken back from them."""
