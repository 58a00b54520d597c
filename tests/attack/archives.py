"""Zips that burst, nest, overlap, crowd, climb and lie, made byte by byte."""

from __future__ import annotations

import bz2
import io
import itertools
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from tests.inputs import audio_file, zip_file

STORED, DEFLATED = 0, 8
LINK = 0o120777 << 16


@dataclass(frozen=True)
class Entry:
    """A member as its two headers describe it. `packed`: what really lies there."""

    name: bytes
    packed: bytes
    size: int
    crc: int
    method: int = DEFLATED
    attributes: int = 0
    packed_size: int | None = None

    @property
    def _told_packed_size(self) -> int:
        return len(self.packed) if self.packed_size is None else self.packed_size

    @property
    def local_header(self) -> bytes:
        sizes = (self.crc, self._told_packed_size, self.size, len(self.name), 0)
        return b"PK\x03\x04" + struct.pack("<5H3I2H", 20, 0, self.method, 0, 0, *sizes) + self.name

    def directory_entry(self, offset: int) -> bytes:
        sizes = (self.crc, self._told_packed_size, self.size, len(self.name), 0, 0, 0, 0, self.attributes, offset)
        return b"PK\x01\x02" + struct.pack("<6H3I5H2I", 20, 20, 0, self.method, 0, 0, *sizes) + self.name


def deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def entry(name: str | bytes, content: bytes, **changes: int) -> Entry:
    raw = name.encode() if isinstance(name, str) else name
    return replace(Entry(raw, deflate(content), len(content), zlib.crc32(content)), **changes)


def archive(entries: Iterable[Entry]) -> bytes:
    body, directory, count = bytearray(), bytearray(), 0
    for one in entries:
        directory += one.directory_entry(len(body))
        body += one.local_header + one.packed
        count += 1
    return bytes(body + directory) + _end(count, len(directory), len(body))


def _end(count: int, size: int, offset: int) -> bytes:
    return struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, min(count, 65_535), min(count, 65_535), size, offset, 0)


def overlapping(count: int, kernel: bytes) -> bytes:
    """Every member holds, quoted, the headers of those behind it, and then the one kernel (Fifield 2019)."""
    packed, content = deflate(kernel), kernel
    size, crc = len(kernel), zlib.crc32(kernel)
    entries: list[Entry] = []
    for number in reversed(range(count)):
        if entries:
            quoted = entries[-1].local_header
            packed = b"\0" + struct.pack("<HH", len(quoted), len(quoted) ^ 0xFFFF) + quoted + packed
            content = quoted + content
            size, crc = len(content), zlib.crc32(content)
        entries.append(Entry(b"%04d.wav" % number, packed, size, crc))
    entries.reverse()
    whole = len(entries[0].packed)
    start = len(entries[0].local_header)
    directory = b"".join(one.directory_entry(_place(one, whole, start)) for one in entries)
    body = entries[0].local_header + entries[0].packed
    return body + directory + _end(count, len(directory), len(body))


def _place(one: Entry, whole: int, start: int) -> int:
    """Where the header of a member lies: right before what it holds."""
    return start + whole - len(one.packed) - len(one.local_header)


def crowded(count: int) -> bytes:
    """So many entries for one empty member each, in a directory of 46 bytes and a name an entry."""
    empty = [Entry(b"%07d" % number, b"\x03\0", 0, 0).directory_entry(0) for number in range(count)]
    body = Entry(b"0000000", b"\x03\0", 0, 0).local_header + b"\x03\0"
    directory = b"".join(empty)
    zip64 = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(directory), len(body))
    zip64 += struct.pack("<4sIQI", b"PK\x06\x07", 0, len(body) + len(directory), 1)
    return body + directory + zip64 + _end(count, min(len(directory), 0xFFFFFFFF), len(body))


def nested(depth: int, width: int, core: bytes) -> bytes:
    inner = zip_file({"core.wav": core})
    for _ in range(depth):
        text = io.BytesIO()
        with zipfile.ZipFile(text, "w", zipfile.ZIP_DEFLATED) as outer:
            for number in range(width):
                outer.writestr(f"{number}.zip", inner)
        inner = text.getvalue()
    return inner


GONE_WRONG = frozenset({"undecodable", "too_large", "unsupported_media_type", "too_long"})


def climbing(mark: str) -> list[str]:
    """Names that lead out of a folder, to files called by `mark`."""
    ups = itertools.chain.from_iterable(("../" * n + mark, "a/" + "../" * (n + 1) + mark) for n in (1, 2, 4, 8))
    absolute = [f"/{mark}", f"/tmp/{mark}", f"//tmp/{mark}", f"/proc/self/cwd/{mark}", f"C:/{mark}", f"..\\..\\{mark}"]
    return [
        *ups,
        *absolute,
        f"./../{mark}",
        f"a/./../../{mark}",
        f"{mark}\0.wav",
        f"\0{mark}",
        f"a\n{mark}",
    ]


def refused(mark: str, *, zeros_mib: int, entries: int) -> dict[str, bytes]:
    """Archives of which not one item may be classified; by name."""
    zeros = bytes(zeros_mib << 20)
    big = entry("big.wav", zeros)
    found = {
        "flat": archive([big]),
        "flat-many": archive([replace(big, name=b"%03d.wav" % number) for number in range(200)]),
        "nested": nested(4, 8, zeros[: 1 << 20]),
        "overlapping": overlapping(250, bytes(1 << 20)),
        "same-place": archive_of_one_place(big, 500),
        "crowded": crowded(entries),
        "size-too-small": archive([replace(big, size=1000)]),
        "size-too-large": archive([entry("a.wav", audio_file(), size=(1 << 32) - 2)]),
        "packed-size-too-large": archive([entry("a.wav", b"no sound", packed_size=(1 << 32) - 2)]),
        "bzip2": archive([replace(big, packed=bz2.compress(zeros), size=1000, method=12)]),
        "checksum": archive([entry("a.wav", audio_file(), crc=0x12345678)]),
        "no-directory": archive([entry("a.wav", audio_file())])[:-30],
        "link": archive([entry("a.wav", b"/etc/passwd", attributes=LINK)]),
        "link-and-through": archive([entry("a", b"/tmp", attributes=LINK), entry(f"a/{mark}", audio_file())]),
        "duplicates": archive([entry("a.wav", audio_file()), entry("a.wav", audio_file(seed=2))]),
    }
    for number, name in enumerate(climbing(mark)):
        found[f"climbs-{number}"] = archive([entry(name, audio_file())])
    return found


def archive_of_one_place(one: Entry, count: int) -> bytes:
    """Many names for the same bytes: the local header can have but one of them."""
    body = one.local_header + one.packed
    directory = b"".join(replace(one, name=b"%03d.wav" % number).directory_entry(0) for number in range(count))
    return body + directory + _end(count, len(directory), len(body))
