"""What a file is, told by its first bytes alone; names and declared media types are not believed."""

from __future__ import annotations

from enum import StrEnum

HEAD_BYTES = 4096
"""As much of a file as `sniff` can make use of: two frames of the largest MP3."""


class Content(StrEnum):
    """Kinds of content that can be told apart."""

    WAV = "wav"
    FLAC = "flac"
    MP3 = "mp3"
    OGG = "ogg"
    M4A = "m4a"
    AAC = "aac"
    ZIP = "zip"
    GZIP = "gzip"

    @property
    def is_audio(self) -> bool:
        return self not in (Content.ZIP, Content.GZIP)


_STILL_IMAGES = frozenset({b"heic", b"heix", b"heif", b"mif1", b"msf1", b"avif", b"avis", b"crx "})

_BITRATES_KBPS = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = {
    0b11: (44_100, 48_000, 32_000),
    0b10: (22_050, 24_000, 16_000),
    0b00: (11_025, 12_000, 8_000),
}


def sniff(head: bytes) -> Content | None:
    """The content of a file that begins with `head`: HEAD_BYTES of it, or all. None where unknown."""
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return Content.WAV
    if head.startswith(b"OggS"):
        return Content.OGG
    if head[4:8] == b"ftyp":
        return None if head[8:12] in _STILL_IMAGES else Content.M4A
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return Content.ZIP
    if head.startswith(b"\x1f\x8b\x08"):
        return Content.GZIP
    return _behind_tags(head)


def _behind_tags(head: bytes) -> Content | None:
    """FLAC, MP3 and AAC may stand behind ID3 tags."""
    start = 0
    while head[start : start + 3] == b"ID3" and len(head) >= start + 10:
        # The length has seven bits a byte.
        first, second, third, last = head[start + 6 : start + 10]
        start += 10 + (first << 21 | second << 14 | third << 7 | last)
    if start >= len(head):
        # The tag (a cover picture, mostly) hides what follows; nearly always that is an MP3.
        return Content.MP3 if start else None
    if head[start : start + 4] == b"fLaC":
        return Content.FLAC
    for frame_bytes, content in ((_mp3_frame_bytes, Content.MP3), (_aac_frame_bytes, Content.AAC)):
        length = frame_bytes(head, start)
        # A second frame right behind the first: eleven set bits alone begin many a file that is no music.
        if length and (start + length + 4 > len(head) or frame_bytes(head, start + length)):
            return content
    return None


def _mp3_frame_bytes(head: bytes, start: int) -> int:
    """Length of the MPEG layer III frame that begins there; 0 where none does (ISO 11172-3, 2.4.1.3)."""
    if len(head) < start + 4 or head[start] != 0xFF or head[start + 1] & 0xE6 != 0xE2:
        return 0
    version, bitrate, rate = head[start + 1] >> 3 & 0b11, head[start + 2] >> 4, head[start + 2] >> 2 & 0b11
    if version == 0b01 or bitrate in (0, 15) or rate == 0b11:
        return 0
    is_first = version == 0b11
    kbps = _BITRATES_KBPS[1 if is_first else 2][bitrate]
    padding = head[start + 2] >> 1 & 1
    return (144_000 if is_first else 72_000) * kbps // _SAMPLE_RATES[version][rate] + padding


def _aac_frame_bytes(head: bytes, start: int) -> int:
    """Length of the ADTS frame that begins there; 0 where none does (ISO 13818-7, 6.2)."""
    if len(head) < start + 6 or head[start] != 0xFF or head[start + 1] & 0xF6 != 0xF0:
        return 0
    if head[start + 2] >> 2 & 0b1111 > 12:
        return 0
    length = (head[start + 3] & 0b11) << 11 | head[start + 4] << 3 | head[start + 5] >> 5
    return length if length > 7 else 0
