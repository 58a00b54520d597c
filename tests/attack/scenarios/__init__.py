"""Every attack, a file each."""
