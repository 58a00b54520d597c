"""Whether the service is there, alive, and ready."""
