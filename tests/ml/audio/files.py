"""Writing audio files of every format for tests."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import soundfile


def write(path: Path, samples: np.ndarray, sample_rate: int, **options: str) -> Path:
    """(frame,) or (frame, channel) as wav, flac, mp3 or ogg, by the path's suffix."""
    title = options.pop("title", None)
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(path, "w", sample_rate, channels, **options) as file:
        if title:
            file.title = title
        # Vorbis in one piece overflows libsndfile's stack.
        for start in range(0, len(samples), 4096):
            file.write(samples[start : start + 4096])
    return path


def write_mp4(
    path: Path, samples: np.ndarray, sample_rate: int, *, codec: str = "aac", title: str | None = None
) -> Path:
    """(frame, channel) as m4a or, by the path's suffix, as bare aac."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    with av.open(str(path), "w", format="adts" if path.suffix == ".aac" else "ipod") as container:
        if title:
            container.metadata["title"] = title
        stream = container.add_stream(codec, rate=sample_rate, layout=layout)
        planes = np.ascontiguousarray(samples.T, dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        frame.sample_rate = sample_rate
        converter = av.AudioResampler(format=stream.codec_context.format.name, rate=sample_rate)
        for piece in [*converter.resample(frame), *converter.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path
