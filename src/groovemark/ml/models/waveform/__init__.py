"""Transformers that hear samples: HuBERT, wav2vec 2.0 and WavLM, imported from Hugging Face's format and fine-tuned."""
