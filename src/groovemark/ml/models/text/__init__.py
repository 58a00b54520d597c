"""Texts by a sentence encoder, and numbers beside them, under one linear score a label."""
