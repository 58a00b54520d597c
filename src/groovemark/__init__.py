"""groovemark: batch classification of music."""
