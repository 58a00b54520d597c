"""Training data, one file a dataset."""

from groovemark.ml.datasets.echonest import read_echonest
from groovemark.ml.datasets.fma import read_fma
from groovemark.ml.datasets.gtzan import read_gtzan
from groovemark.ml.datasets.table import Dataset, Reader

READERS: dict[str, Reader] = {"echonest": read_echonest, "fma": read_fma, "gtzan": read_gtzan}
"""By the name that a training configuration gives."""

__all__ = ["READERS", "Dataset", "Reader"]
