"""Feature sets and their extraction: what a program needs of them, each name imported when it is asked for.

The sets can be read without numpy and torch; whatever computes needs `pip install '.[torch]'`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from groovemark.ml.audio.messages import FileFeatures as FileFeatures
    from groovemark.ml.features.cache import FeatureCache as FeatureCache
    from groovemark.ml.features.cache import content_sha256 as content_sha256
    from groovemark.ml.features.extractor import Extractor as Extractor
    from groovemark.ml.features.file_extractor import FileExtractor as FileExtractor
    from groovemark.ml.features.file_extractor import NamedFile as NamedFile
    from groovemark.ml.features.files import extract_file as extract_file
    from groovemark.ml.features.sets import FEATURE_SETS as FEATURE_SETS
    from groovemark.ml.features.spec import FeatureSpec as FeatureSpec

_HOMES = {
    "Extractor": "groovemark.ml.features.extractor",
    "FEATURE_SETS": "groovemark.ml.features.sets",
    "FeatureCache": "groovemark.ml.features.cache",
    "FeatureSpec": "groovemark.ml.features.spec",
    "FileExtractor": "groovemark.ml.features.file_extractor",
    "FileFeatures": "groovemark.ml.audio.messages",
    "NamedFile": "groovemark.ml.features.file_extractor",
    "content_sha256": "groovemark.ml.features.cache",
    "extract_file": "groovemark.ml.features.files",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        # Without the error's own story: which extra is missing is all there is to know.
        raise ModuleNotFoundError(f"{name} needs torch: pip install '.[torch]'", name="torch") from None
