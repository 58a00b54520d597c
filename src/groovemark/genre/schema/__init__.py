"""What the genre routes answer."""
