"""Scenarios and attacks without the guards that they test, where each of them must break."""
