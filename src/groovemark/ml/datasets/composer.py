"""Composers: classical piano music, rendered from MIDI in several performances a piece."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from errno import ENOENT
from pathlib import Path

import numpy as np

from groovemark.errors import InputRejected
from groovemark.ml.audio.messages import FileFeatures
from groovemark.ml.datasets.audio import cache_folder
from groovemark.ml.datasets.progress import UNWATCHED, Progress
from groovemark.ml.datasets.rendering import SOUNDFONT, Performance, rendered, soundfont_sha256
from groovemark.ml.datasets.table import Dataset, Report, no_report, number_groups, number_labels
from groovemark.ml.features.cache import FeatureCache, content_sha256
from groovemark.ml.features.spec import FeatureSpec
from groovemark.ml.features.tabular import FeatureTable

PIECES_LEAST = 10
WORKS_LEAST = 2
"""One to learn from and another to be tried on."""
PERFORMANCES = 2
LONGEST_S = 60.0
NO_COMPOSER = "Christmas"
REPORT_EVERY = 20
_WORKS = (
    re.compile(r"[Ss]onata_No\.\d+"),
    re.compile(r"Sonatina_Opus_\d+_\d+"),
    re.compile(r"Hoboken_XVI_\d+"),
    re.compile(r"(?<![A-Za-z])D_\d+"),
    re.compile(r"Opus_(?:posth_)?\d+"),
)


@dataclass(frozen=True, slots=True)
class Piece:
    """One MIDI file: a movement of a sonata, a piece of a collection, or a work of its own."""

    composer: str
    title: str
    path: Path

    @property
    def work(self) -> str:
        """What the piece is a part of: all that share it stand on one side of every split.

        It is read from the title: a sonata by its number, a sonatina by its number within its opus, and everything
        else by its number in the composer's catalogue (Opus, Hoboken, Deutsch), so that all movements of a sonata,
        all pieces of a suite, and all preludes or studies that were published together are one work. A title without
        any of these numbers belongs with those that begin with the same two words ("Suite bergamasque …").
        """
        for pattern in _WORKS:
            if found := pattern.search(self.title):
                return f"{self.composer}: {found[0]}"
        return f"{self.composer}: {' '.join(self.title.split('_')[:2])}"


def read_composer(
    root: Path, spec: FeatureSpec, *, report: Report = no_report, progress: Progress = UNWATCHED
) -> Dataset:
    """The windows of the first minute of every performance of every piece under the data folder `root`.

    Raises:
        FileNotFoundError: there are no MIDI files.
        ConfigurationError: fluidsynth or its soundfont is not installed.
    """
    pieces = chosen(read_pieces(root / "midi"))
    cache, instrument = FeatureCache(cache_folder()), soundfont_sha256()
    rows, ids, owners = [], [], []
    progress.begin(f"{spec.name} of performances", PERFORMANCES * len(pieces))
    for place, piece in enumerate(pieces, start=1):
        if place % REPORT_EVERY == 0:
            report(f"{spec.name} of {place} of {len(pieces)} pieces, {PERFORMANCES} performances each")
        for number, performance in enumerate(performances(piece)):
            windows = _features(piece, performance, spec, cache, instrument).windows
            rows.append(windows)
            ids += [f"{piece.composer}/{piece.path.stem}/{number}"] * len(windows)
            owners += [piece] * len(windows)
            progress.advance()
    if not rows:
        raise InputRejected("no composer has enough pieces")
    labels, targets = number_labels([piece.composer for piece in owners])
    return Dataset(
        name="composer",
        table=FeatureTable.of_windows(spec, np.concatenate(rows)),
        ids=tuple(ids),
        labels=labels,
        targets=targets,
        groups=number_groups([piece.work for piece in owners]),
        grouping="works (sonatas with all their movements, suites, and whole published collections, as their titles "
        "tell); all performances of a piece are in its work's group",
        source=f"{len(pieces)} pieces from piano-midi.de, the composers with at least {PIECES_LEAST} pieces out of at "
        f"least {WORKS_LEAST} works; the first {LONGEST_S:.0f} s of {PERFORMANCES} performances of each, rendered by "
        f"fluidsynth with {SOUNDFONT.name}, which differ in tempo, touch, gain and hall",
        licence="believed to be CC BY-SA, which is unconfirmed: the collection's copyright file only points to "
        "www.piano-midi.de/copy.htm",
        tracks=number_groups(ids),
    )


def read_pieces(folder: Path) -> list[Piece]:
    """Every piece in metadata.csv whose composer is known, in its order.

    Raises FileNotFoundError where the table or a file of it is missing; files are found whatever the case of their
    names.
    """
    files = {path.relative_to(folder).as_posix().lower(): path for path in folder.glob("midis/*/*.mid")}
    pieces = []
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table):
            path = files.get(row["midi"].lower())
            if path is None:
                raise FileNotFoundError(ENOENT, "no such piece", str(folder / row["midi"]))
            if row["composer"] != NO_COMPOSER:
                pieces.append(Piece(row["composer"], row["title"], path))
    return pieces


def chosen(pieces: Sequence[Piece]) -> list[Piece]:
    """Those of composers with enough pieces out of enough works."""
    counts = Counter(piece.composer for piece in pieces)
    works = defaultdict(set)
    for piece in pieces:
        works[piece.composer].add(piece.work)
    return [
        piece
        for piece in pieces
        if counts[piece.composer] >= PIECES_LEAST and len(works[piece.composer]) >= WORKS_LEAST
    ]


def performances(piece: Piece) -> list[Performance]:
    """Always the same ones of the same piece."""
    seed = int.from_bytes(hashlib.sha256(f"{piece.composer}/{piece.title}".encode()).digest()[:8], "big")
    generator = np.random.default_rng(seed)
    return [Performance.drawn(generator) for _ in range(PERFORMANCES)]


def _features(
    piece: Piece, performance: Performance, spec: FeatureSpec, cache: FeatureCache, instrument: str
) -> FileFeatures:
    """Extracted as a served file's are; the sound itself is not kept.

    Args:
        instrument: the soundfont's sha256: another release of it has the same name.
    """
    from groovemark.ml.features.files import extract_file

    made_of = (content_sha256(piece.path), instrument, LONGEST_S, *astuple(performance))
    key = hashlib.sha256(repr(made_of).encode()).hexdigest()
    found = cache.get(key, spec)
    if found is None:
        with rendered(piece.path.read_bytes(), performance, longest_s=LONGEST_S) as path:
            found = extract_file(str(path), spec.name)
        cache.put(key, spec, found)
    return found
