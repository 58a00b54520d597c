"""Honest figures: protocols, intervals, calibration."""
