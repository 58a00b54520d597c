"""Trained models behind one seam, one folder a family."""
