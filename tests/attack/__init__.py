"""What strangers send to harm groovemark, and what becomes of it."""
