"""What the classifier's routes take and answer."""
