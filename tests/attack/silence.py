"""Files that are small and last for hours, or say so: each field that a header has for a length, at its largest."""

from __future__ import annotations

import functools
import struct

from tests.inputs import aac_file, audio_file

BLOCK_SAMPLES = 65_535
"""The most of a FLAC frame."""


def _crc(data: bytes, polynomial: int, width: int) -> int:
    table = _crc_table(polynomial, width)
    crc, mask = 0, (1 << width) - 1
    for byte in data:
        crc = (crc << 8 & mask) ^ table[crc >> (width - 8) ^ byte]
    return crc


@functools.cache
def _crc_table(polynomial: int, width: int) -> list[int]:
    top, mask = 1 << (width - 1), (1 << width) - 1
    table = []
    for byte in range(256):
        crc = byte << (width - 8)
        for _ in range(8):
            crc = (crc << 1 & mask) ^ (polynomial if crc & top else 0)
        table.append(crc)
    return table


def _number(value: int) -> bytes:
    """A frame's number, as UTF-8 would write it."""
    return chr(value).encode("utf-8", "surrogatepass")


def silent_flac(
    duration_s: float, *, sample_rate: int = 44_100, channels: int = 2, bits: int = 16, told: int | None = None
) -> bytes:
    """Digital silence: 18 bytes for 65,535 stereo samples. `told`: what the header says of samples a channel."""
    samples = int(duration_s * sample_rate)
    packed = sample_rate << 44 | (channels - 1) << 41 | (bits - 1) << 36 | (samples if told is None else told)
    info = struct.pack(">HH", BLOCK_SAMPLES, BLOCK_SAMPLES) + bytes(6) + packed.to_bytes(8, "big") + bytes(16)
    silent = (b"\0" + bytes((bits + 7) // 8)) * channels
    frames = []
    for number in range(samples // BLOCK_SAMPLES):
        head = b"\xff\xf8\x70" + bytes([(channels - 1) << 4]) + _number(number) + struct.pack(">H", BLOCK_SAMPLES - 1)
        frame = head + bytes([_crc(head, 0x07, 8)]) + silent
        frames.append(frame + _crc(frame, 0x8005, 16).to_bytes(2, "big"))
    return b"fLaC\x80\x00\x00\x22" + info + b"".join(frames)


def wav(
    data: bytes = bytes(44_100),
    *,
    sample_rate: int = 22_050,
    channels: int = 1,
    bits: int = 16,
    told: int | None = None,
) -> bytes:
    """`told`: what the header says of bytes of samples."""
    block = channels * bits // 8 & 0xFFFF
    size = len(data) if told is None else told
    head = struct.pack("<HHIIHH", 1, channels, sample_rate, sample_rate * block & 0xFFFFFFFF, block, bits)
    riff = min(size + 36, 0xFFFFFFFF)
    return b"RIFF" + struct.pack("<I", riff) + b"WAVEfmt \x10\0\0\0" + head + b"data" + struct.pack("<I", size) + data


def rf64(told: int) -> bytes:
    plain = wav()
    sizes = struct.pack("<QQQI", told, told, told, 0)
    return b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0" + sizes + plain[12:36] + b"data\xff\xff\xff\xff" + plain[44:]


def m4a(atom: bytes, offset: int, value: bytes) -> bytes:
    """A sound m4a, some bytes after an atom's name replaced."""
    plain = aac_file("ipod", 1)
    at = plain.index(atom) + 4 + offset
    return plain[:at] + value + plain[at + len(value) :]


def mp3_of_so_many_frames(count: int) -> bytes:
    plain = audio_file("mp3", 1)
    at = next(plain.index(name) for name in (b"Xing", b"Info") if name in plain)
    assert plain[at + 7] & 1, "the header tells no number of frames"
    return plain[: at + 8] + struct.pack(">I", count) + plain[at + 12 :]


def ogg_of_so_many_samples(count: int) -> bytes:
    """The last page's position replaced, and its checksum with it."""
    plain = audio_file("ogg", 1)
    at = plain.rindex(b"OggS")
    page = bytearray(plain[at:])
    page[6:14] = struct.pack("<q", count)
    page[22:26] = bytes(4)
    page[22:26] = _crc(bytes(page), 0x04C11DB7, 32).to_bytes(4, "little")
    return plain[:at] + bytes(page)


TOO_LONG = frozenset({"too_long"})
REFUSED = frozenset(
    {"too_long", "undecodable", "unsupported_media_type", "too_short", "too_many_channels", "silent_stream"}
)
HARMLESS = REFUSED | {"succeeded"}
"""A file that lies about its length and holds a second of sound may be classified by that second."""


def bombs(hours: float, *, streamed: bool) -> dict[str, tuple[bytes, frozenset[str]]]:
    """Files by name, with what may become of them. `streamed`: also those that cost four hours of decoding each."""
    long = hours * 3600
    most = (1 << 36) - 1
    found = {
        "ten-hours.flac": (silent_flac(long), TOO_LONG),
        "says-18-days.flac": (silent_flac(10, told=most), TOO_LONG),
        "loud-header.flac": (silent_flac(10, sample_rate=655_350, channels=8, bits=24, told=0), HARMLESS),
        "a-hertz.flac": (silent_flac(4 * BLOCK_SAMPLES, sample_rate=1), REFUSED),
        "a-hertz-two-hours.flac": (silent_flac(BLOCK_SAMPLES, sample_rate=10), HARMLESS),
        "a-hertz.wav": (wav(bytes(2 * 3_000), sample_rate=1), HARMLESS),
        "a-hertz-for-long.wav": (wav(bytes(2 * 30_000), sample_rate=1), REFUSED),
        "four-gigabytes.wav": (wav(told=0xFFFFFFFF), HARMLESS),
        "exabytes.wav": (rf64(1 << 62), HARMLESS),
        "channels.wav": (wav(channels=65_535), REFUSED),
        "no-channels.wav": (wav(channels=0), REFUSED),
        "two-gigahertz.wav": (wav(bytes(4_000_000), sample_rate=(1 << 31) - 1), REFUSED),
        "frames.mp3": (mp3_of_so_many_frames(0xFFFFFFFF), HARMLESS),
        "samples.ogg": (ogg_of_so_many_samples(1 << 62), HARMLESS),
        "samples.m4a": (m4a(b"stsz", 4, b"\0\0\0\1\xff\xff\xff\xff"), HARMLESS),
        "sample-sizes.m4a": (m4a(b"stsz", 8, b"\xff\xff\xff\xff"), HARMLESS),
        "times.m4a": (m4a(b"stts", 4, b"\xff\xff\xff\xff"), HARMLESS),
        "duration.m4a": (m4a(b"mdhd", 16, b"\xff\xff\xff\xfe"), HARMLESS),
        "timescale.m4a": (m4a(b"mdhd", 12, b"\0\0\0\1"), HARMLESS),
    }
    if streamed:
        found["length-untold.flac"] = (silent_flac(long, told=0), TOO_LONG)
        found["says-a-second.flac"] = (silent_flac(long, told=44_100), TOO_LONG | {"undecodable", "succeeded"})
    return found
