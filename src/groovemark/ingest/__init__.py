"""Untrusted bytes into validated rows and files."""
