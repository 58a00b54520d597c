"""Bringing MusiCNN's weights into the user's folder of models; groovemark comes without them."""

from __future__ import annotations

from pathlib import Path

from groovemark.errors import ConfigurationError
from groovemark.ml.encoders.encoder import IMPORT_MUSICNN, MUSICNN_FOLDER, WEIGHTS_NAME
from groovemark.ml.encoders.musicnn_tags import TAG_NAMES
from groovemark.ml.features.sets import LOG_MEL, MUSICNN_WEIGHTS_SHA256
from groovemark.ml.models.artifact import Manifest, describe_files, replacing, write_manifest

CARD_NAME = "CARD.md"
LICENCE = "ISC, headed by its authors 'for study and research only'; not part of groovemark, not to be shipped with it"

CARD = f"""# musicnn (version 1)

50 tags of music, and the pooled embedding on which heads of other models stand: MSD_musicnn of Pons & Serra 2019
(arXiv 1909.06654), trained by its authors on the Million Song Dataset with tags of Last.fm. Family: musicnn. Features:
{LOG_MEL.name}, windows of 3 s. Task: tags.

## Licence

**For study and research only.** The package `musicnn` on PyPI carries the text of the ISC licence under that heading.
groovemark ships neither the weights nor anything made of them but figures and heads; this copy was imported by you, and
what you may do with it is between you and its authors:

> Copyright (c) Music Technology Group, Universitat Pompeu Fabra 2019. Code developed by Jordi Pons
> (www.jordipons.me).
>
> Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby
> granted, provided that the above copyright notice and this permission notice appear in all copies.
>
> THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE
> INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR
> ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE,
> DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN
> CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.

## What it answers

A probability from 0 to 1 for each tag by itself: they do not sum to 1, and a track may have several tags or none. The
label of a track is its most probable tag. Of a longer track the probabilities are the mean over its windows of 3 s.

Tags: {", ".join(sorted(TAG_NAMES))}.

## Figures

None of ours: no tagged audio is here to measure it with. Its authors' own, in the package: area under the ROC curve
0.880, under the precision-recall curve 0.289, on the Million Song Dataset. What is popular on Last.fm is known best.
The numbers computed here are those of the original graph to about a millionth of a probability.

## To reproduce

```
groovemark model import musicnn
```

The sha256 over the tensors' names, shapes and numbers is
`{MUSICNN_WEIGHTS_SHA256}`; the import refuses others.
"""


def import_musicnn(models: Path, source: Path | None) -> Manifest:
    """Write the artifact `musicnn` into the folder of models, replacing what stood there.

    Args:
        source: as `encoders.musicnn_source.find_weights` takes it.

    Raises:
        ModelRejected: the source does not hold the weights.
        ConfigurationError: torch is not installed, or the folder of models cannot be written to.
    """
    try:
        from groovemark.ml.encoders.musicnn_source import find_weights
        from groovemark.ml.encoders.weights import write_weights
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors"):
            raise
        raise ConfigurationError(f"{IMPORT_MUSICNN} needs {error.name}: pip install '.[torch]'") from error
    weights = find_weights(source)
    folder = models / MUSICNN_FOLDER
    try:
        with replacing(folder) as building:
            write_weights(building / WEIGHTS_NAME, weights)
            (building / CARD_NAME).write_text(CARD, encoding="utf-8")
            manifest = _manifest(building, (WEIGHTS_NAME, CARD_NAME))
            write_manifest(building, manifest)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written: {error.strerror}") from error
    return manifest


def _manifest(folder: Path, names: tuple[str, ...]) -> Manifest:
    return Manifest(
        name=MUSICNN_FOLDER.parent.name,
        version=MUSICNN_FOLDER.name,
        title="Fifty tags of music by MusiCNN (MSD_musicnn), imported",
        family="musicnn",
        task="tags",
        labels=tuple(sorted(TAG_NAMES)),
        features=LOG_MEL.name,
        features_sha256=LOG_MEL.sha256,
        metrics={},
        licence=LICENCE,
        training_data="Million Song Dataset with tags of Last.fm, by Pons & Serra 2019; not seen here",
        created="2019-08-18",
        command="groovemark model import musicnn",
        files=describe_files(folder, names),
        is_multi_label=True,
    )
