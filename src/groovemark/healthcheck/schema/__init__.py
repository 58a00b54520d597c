"""What the health routes answer."""
