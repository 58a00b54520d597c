"""Waveforms: decoding, cutting, and the processes in which untrusted audio is read."""
