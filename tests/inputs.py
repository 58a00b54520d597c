"""What tests post: invented rows, synthesized sounds, and both as files."""

from __future__ import annotations

import csv
import functools
import io
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import numpy as np
import soundfile

from groovemark.cli.demo.rows import write_echonest_csv
from groovemark.ml.features.sets import FEATURE_SETS

SAMPLE_RATE = 22_050


@functools.cache
def _echonest_text(rows: int, seed: int, first_id: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tracks.csv"
        write_echonest_csv(path, rows, seed, first_id=first_id)
        return path.read_text()


def echonest_csv(rows: int, *, seed: int = 1, first_id: int = 1) -> bytes:
    """A table with the 157 columns of echonest-155."""
    return _echonest_text(rows, seed, first_id).encode()


def echonest_rows(rows: int, *, seed: int = 1, **changed: object) -> list[dict[str, str]]:
    """The same as records to spoil; `changed` sets columns of every row."""
    records = list(csv.DictReader(io.StringIO(_echonest_text(rows, seed, 1))))
    return [{**record, **{name: str(value) for name, value in changed.items()}} for record in records]


def to_csv(records: Sequence[Mapping[str, str]], *, columns: Sequence[str] | None = None) -> bytes:
    text = io.StringIO()
    names = list(columns if columns is not None else records[0])
    writer = csv.DictWriter(text, names, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode()


def fma_rows(rows: int, *, seed: int = 1) -> list[dict[str, str]]:
    """Records of the 42 columns that `fma-8` takes, with ids from 1 and no titles."""
    random = np.random.default_rng(seed)
    columns = FEATURE_SETS["fma-42"].columns
    values = random.uniform(0.05, 0.95, (rows, len(columns)))
    names = [column.name for column in columns]
    records = [dict(zip(names, map(str, row), strict=True)) for row in values.round(6).tolist()]
    return [{"track_id": str(number), **record} for number, record in enumerate(records, start=1)]


def many_fma_rows(rows: int, *, first_id: int = 1) -> bytes:
    """A long table, made fast: every track sounds the same."""
    [record] = fma_rows(1)
    [head, values] = to_csv([record]).decode().split()
    rest = values.partition(",")[2]
    lines = "\n".join(f"{first_id + number},{rest}" for number in range(rows))
    return f"{head}\n{lines}\n".encode()


def sound(duration_s: float, *, seed: int = 1, sample_rate: int = SAMPLE_RATE, channels: int = 1) -> np.ndarray:
    """(time, channel): a chord in noise, another one for every seed."""
    random = np.random.default_rng(seed)
    time_s = np.arange(int(duration_s * sample_rate)) / sample_rate
    chord = sum(np.sin(2 * np.pi * hertz * time_s) for hertz in random.uniform(80, 2000, 3))
    mono = 0.2 * chord + 0.1 * random.standard_normal(len(time_s))
    return np.repeat(mono[:, None], channels, axis=1).clip(-0.99, 0.99).astype(np.float32)


def audio_file(
    kind: str = "wav",
    duration_s: float = 1.0,
    *,
    seed: int = 1,
    sample_rate: int = SAMPLE_RATE,
    channels: int = 1,
    title: str | None = None,
) -> bytes:
    """wav, flac, ogg or mp3; a title becomes its tag."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", sample_rate, channels, format=kind.upper()) as target:
        if title is not None:
            target.title = title
        target.write(sound(duration_s, seed=seed, sample_rate=sample_rate, channels=channels))
    return file.getvalue()


def distinct_clips(count: int, duration_s: float = 1.0) -> dict[str, bytes]:
    """That sound the same, but no two of the same bytes: equal ones would be worked on once."""
    clip = audio_file(duration_s=duration_s)
    return {f"{number:05}.wav": clip[:-4] + number.to_bytes(4, "little") for number in range(count)}


def aac_file(container: str, duration_s: float = 1.0) -> bytes:
    """AAC in `ipod` (m4a) or `adts` (aac)."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as target:
        stream = target.add_stream("aac", rate=44_100, layout="mono")
        samples = sound(duration_s, sample_rate=44_100).T
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout="mono")
        frame.sample_rate = 44_100
        target.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


def zip_file(members: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()
