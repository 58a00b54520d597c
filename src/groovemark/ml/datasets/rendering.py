"""From MIDI to the sound of a piano, by the program fluidsynth and a soundfont."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np

from groovemark.errors import ConfigurationError, InputRejected
from groovemark.ml.datasets.midi import change
from groovemark.ml.features.cache import content_sha256

PROGRAM = "fluidsynth"
SOUNDFONT = Path("/usr/share/sounds/sf2/TimGM6mb.sf2")
SAMPLE_RATE = 44_100
"""As recordings have it; the features' own rate comes from decoding, as it does when a model is served."""
_FRAME_BYTES = 4
_INSTALL = "on Debian: apt-get install fluidsynth timgm6mb-soundfont"


@dataclass(frozen=True, slots=True)
class Performance:
    """How a piece is played.

    Attributes:
        tempo, velocity: times what the MIDI file says.
        gain: of the synthesizer.
        room_size, reverb_level: of the hall, from 0 to 1.
    """

    tempo: float
    velocity: float
    gain: float
    room_size: float
    reverb_level: float

    @classmethod
    def drawn(cls, generator: np.random.Generator) -> Performance:
        """Another player, instrument and hall, within what sounds natural."""
        lowest, highest = (0.85, 0.7, 0.25, 0.1, 0.0), (1.15, 1.15, 0.7, 0.8, 0.7)
        return cls(*(round(float(value), 3) for value in generator.uniform(lowest, highest)))


@contextmanager
def rendered(midi: bytes, performance: Performance, *, longest_s: float) -> Iterator[Path]:
    """A wav file of the first `longest_s` seconds, which is gone afterwards.

    Raises:
        ConfigurationError: fluidsynth or its soundfont is not installed.
        InputRejected: fluidsynth makes no sound of this file.
    """
    import soundfile

    require_program()
    with tempfile.TemporaryDirectory(prefix="groovemark-") as folder:
        score = Path(folder) / "piece.mid"
        score.write_bytes(change(midi, tempo=performance.tempo, velocity=performance.velocity))
        samples = np.frombuffer(_play(score, performance, longest_s), dtype="<i2").reshape(-1, 2)
        path = Path(folder) / "piece.wav"
        soundfile.write(path, samples, SAMPLE_RATE, subtype="PCM_16")
        yield path


def require_program() -> None:
    """Raises ConfigurationError where nothing can be rendered."""
    if shutil.which(PROGRAM) is None:
        raise ConfigurationError(f"rendering MIDI needs the program {PROGRAM} ({_INSTALL})")
    _require_soundfont()


def _require_soundfont() -> None:
    """Raises ConfigurationError where it is not installed."""
    if not SOUNDFONT.exists():
        raise ConfigurationError(f"rendering MIDI needs the soundfont {SOUNDFONT} ({_INSTALL})")


def soundfont_sha256() -> str:
    """Of its content. Raises ConfigurationError where it is not installed."""
    _require_soundfont()
    return content_sha256(SOUNDFONT)


def _play(score: Path, performance: Performance, longest_s: float) -> bytes:
    """Interleaved stereo of 16 bits."""
    command = [PROGRAM, "-q", "-n", "-i", "-T", "raw", "-O", "s16", "-E", "little", "-r", str(SAMPLE_RATE), "-C", "0"]
    command += ["-g", str(performance.gain), "-o", f"synth.reverb.room-size={performance.room_size}"]
    command += ["-o", f"synth.reverb.level={performance.reverb_level}", "-F", "/dev/stdout"]
    with subprocess.Popen(
        [*command, str(SOUNDFONT), str(score)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as player:
        sound = cast("IO[bytes]", player.stdout).read(round(longest_s * SAMPLE_RATE) * _FRAME_BYTES)
        player.kill()  # the rest of the piece is not needed
    if len(sound) < _FRAME_BYTES or len(sound) % _FRAME_BYTES:
        raise InputRejected("fluidsynth makes no sound of this MIDI file")
    return sound
