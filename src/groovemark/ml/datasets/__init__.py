"""Training data, one file a dataset."""
