"""A sandbox's targets, with room for a single window of mfcc-segments in an answer."""

from __future__ import annotations

from groovemark.ml.features import waveforms
from groovemark.ml.features.files import extract_file
from groovemark.ml.features.waveforms import decode_file

__all__ = ["decode_file", "extract_file"]

waveforms.NUMBERS_MAX = 130 * 13
