"""Convolutional networks on segments of MFCC or of a mel spectrogram."""
