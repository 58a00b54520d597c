"""The machine: audio, features, models. Knows no HTTP, no SQL and no settings; usable alone."""
