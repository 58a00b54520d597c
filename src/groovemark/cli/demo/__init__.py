"""What `groovemark up` shows on an empty database: invented rows and a few clips (see ATTRIBUTION.md)."""
