"""Where a checkpoint in Hugging Face's format comes from: a folder, or a name on its hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from groovemark.errors import ConfigurationError, ModelRejected, shorten
from groovemark.ml.models.checkpoint import CONFIG_NAME, EXTRACTOR_NAME, PARAMETERS_MAX, WEIGHTS_NAME
from groovemark.ml.models.files import JSON_BYTES_MAX

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_HUB = "https://huggingface.co"
_BYTES_MAX = {CONFIG_NAME: JSON_BYTES_MAX, EXTRACTOR_NAME: JSON_BYTES_MAX, WEIGHTS_NAME: 4 * PARAMETERS_MAX}


@contextmanager
def at_hand(source: str) -> Iterator[tuple[Path, str]]:
    """The folder of a checkpoint, and where it comes from in words.

    Args:
        source: a folder, or a name such as MIT/ast-finetuned-audioset-10-10-0.4593.

    Raises ConfigurationError where it is neither, or the hub cannot be reached.
    """
    if Path(source).is_dir():
        yield Path(source), f"the folder {Path(source).name}"
    elif _HUB_NAME.fullmatch(source) is None or ".." in source:
        raise ConfigurationError(f"'{shorten(source)}' is neither a folder nor a name on the hub, such as MIT/ast-…")
    else:
        with TemporaryDirectory(prefix="groovemark-") as folder:
            yield Path(folder), _download(source, Path(folder))


def _download(name: str, folder: Path) -> str:
    """Fetch the files of a name on the hub, each at most as large as it may be. Returns where they came from."""
    try:
        from huggingface_hub import errors, get_hf_file_metadata, hf_hub_download, hf_hub_url
    except ModuleNotFoundError as error:
        raise ConfigurationError("a name on the hub needs transformers: pip install '.[transformer]'") from error
    # Of the bases one is that of all errors of the library that the hub's client fetches with.
    failures = cast("tuple[type[Exception], ...]", (ValueError, *errors.HfHubHTTPError.__bases__))
    endpoint = os.environ.get("HF_ENDPOINT", _HUB)
    commit = None
    for file in (CONFIG_NAME, EXTRACTOR_NAME, WEIGHTS_NAME):
        try:
            about = get_hf_file_metadata(hf_hub_url(name, file, revision=commit, endpoint=endpoint))
            commit = commit or about.commit_hash  # all files of one version, though another is put there meanwhile
            if about.size is None or about.size > _BYTES_MAX[file]:
                raise ModelRejected(f"{file} of {name} is too large: {about.size} bytes")
            hf_hub_download(name, file, revision=commit, local_dir=folder, endpoint=endpoint)
        except errors.EntryNotFoundError:
            continue  # what must be there is asked for when it is read
        except failures as error:
            reason = shorten(str(error).partition("\n")[0])
            raise ConfigurationError(f"{name} cannot be had from {endpoint}: {reason}") from error
    return f"{name} at {commit} on {endpoint}"
