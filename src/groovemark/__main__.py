"""`python -m groovemark` is the command line."""

from groovemark.cli import app

app()
