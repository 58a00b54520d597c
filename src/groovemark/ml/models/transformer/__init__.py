"""Audio Spectrogram Transformers: imported from Hugging Face's format, or taught here."""
