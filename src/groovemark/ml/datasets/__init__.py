"""Training data, one file a dataset."""

from groovemark.ml.datasets.audio_folders import read_audio_folders
from groovemark.ml.datasets.composer import read_composer
from groovemark.ml.datasets.echonest import read_echonest, read_echonest_titled
from groovemark.ml.datasets.fma import read_fma
from groovemark.ml.datasets.gtzan import read_gtzan
from groovemark.ml.datasets.gtzan_audio import AudioReader, read_gtzan_audio, read_gtzan_segments
from groovemark.ml.datasets.table import Dataset, Reader

READERS: dict[str, Reader] = {
    "echonest": read_echonest,
    "echonest-titled": read_echonest_titled,
    "fma": read_fma,
    "gtzan": read_gtzan,
}
"""Tables, by the name that a training configuration gives."""
AUDIO_READERS: dict[str, AudioReader] = {
    "audio-folders": read_audio_folders,
    "composer": read_composer,
    "gtzan-audio": read_gtzan_audio,
    "gtzan-segments": read_gtzan_segments,
}
"""Audio, of which the configuration also says which features to extract."""

__all__ = ["AUDIO_READERS", "READERS", "AudioReader", "Dataset", "Reader"]
