"""Where uploaded and written bytes lie: content-addressed, complete or absent."""
