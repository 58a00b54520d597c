"""Sound files, damaged in every way that a seed can choose."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from random import Random

import soundfile

from tests.inputs import SAMPLE_RATE, aac_file, audio_file, sound

DURATION_S = 0.6
HEADER_BYTES = 256
EXTREMES = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\0",
)


@functools.cache
def sounds() -> dict[str, bytes]:
    """A file of every kind that is taken, by a name of its own."""
    found = {f"{kind}.{kind}": audio_file(kind, DURATION_S) for kind in ("wav", "flac", "mp3", "ogg")}
    found |= {f"stereo.{kind}": audio_file(kind, DURATION_S, channels=2, title="ä") for kind in ("wav", "flac", "ogg")}
    found |= {"aac.m4a": aac_file("ipod", DURATION_S), "adts.aac": aac_file("adts", DURATION_S)}
    for subtype in ("PCM_24", "FLOAT", "DOUBLE", "ULAW", "MS_ADPCM", "IMA_ADPCM", "GSM610"):
        found[f"{subtype}.wav"] = _wav(subtype)
    return found


def _wav(subtype: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound(DURATION_S), SAMPLE_RATE, format="WAV", subtype=subtype)
    return file.getvalue()


def _flip(content: bytearray, random: Random) -> None:
    for _ in range(random.choice((1, 2, 8, 64))):
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)


def _flip_in_header(content: bytearray, random: Random) -> None:
    for _ in range(random.choice((1, 2, 4, 16))):
        content[random.randrange(min(HEADER_BYTES, len(content)))] ^= 1 << random.randrange(8)


def _set_in_header(content: bytearray, random: Random) -> None:
    for _ in range(random.choice((1, 1, 2, 4))):
        at, extreme = random.randrange(min(HEADER_BYTES, len(content))), random.choice(EXTREMES)
        content[at : at + len(extreme)] = extreme


def _truncate(content: bytearray, random: Random) -> None:
    del content[random.randrange(1, len(content)) :]


def _remove(content: bytearray, random: Random) -> None:
    start = random.randrange(len(content))
    del content[start : start + random.randrange(1, 1 + len(content) // 2)]
    content += b"\0" * (not content)


def _repeat(content: bytearray, random: Random) -> None:
    start = random.randrange(len(content))
    piece = bytes(content[start : start + random.randrange(1, 4096)])
    content[start:start] = piece * random.randrange(1, 8)


def _overwrite(content: bytearray, random: Random) -> None:
    start = random.randrange(len(content))
    length = random.randrange(1, 2048)
    content[start : start + length] = random.randbytes(length)


def _splice(content: bytearray, random: Random) -> None:
    other = random.choice(list(sounds().values()))
    content[random.randrange(len(content)) :] = other[random.randrange(len(other)) :]


def _header_of_another(content: bytearray, random: Random) -> None:
    other = random.choice(list(sounds().values()))
    length = random.randrange(4, HEADER_BYTES)
    content[:length] = other[:length]


def _swap(content: bytearray, random: Random) -> None:
    first, second, length = random.randrange(len(content)), random.randrange(len(content)), random.randrange(1, 1024)
    piece = content[first : first + length]
    content[second : second + len(piece)] = piece


MUTATIONS: tuple[Callable[[bytearray, Random], None], ...] = (
    _flip,
    _flip_in_header,
    _set_in_header,
    _truncate,
    _remove,
    _repeat,
    _overwrite,
    _splice,
    _header_of_another,
    _swap,
)


def mutated(number: int, random: Random) -> tuple[str, bytes]:
    """A name and a content, of every kind in turn, after one to three mutations."""
    name, content = list(sounds().items())[number % len(sounds())]
    changed = bytearray(content)
    for mutate in random.choices(MUTATIONS, k=random.choice((1, 1, 1, 2, 3))):
        mutate(changed, random)
    return f"{number:05}-{name}", bytes(changed)
