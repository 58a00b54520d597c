"""Zip files of audio: which members are items, and one member at a time as a file."""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from groovemark.errors import AudioRejected, InputRejected, TooLarge

COPY_BYTES = 256 * 1024
NAME_CHARACTERS_MAX = 500
_ENTRY_BYTES = 1024  # of the directory, name and extra fields included: generous
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2})
_JUNK = ("__MACOSX/", ".DS_Store", "Thumbs.db")


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    members_max: int
    member_bytes_max: int
    total_bytes_max: int

    @property
    def entries_max(self) -> int:
        """Folders and litter are entries too."""
        return 4 * self.members_max + 1000


def list_members(path: Path, limits: ArchiveLimits) -> list[str]:
    """Paths of the files in the archive, in its order; folders and the litter of operating systems are left out.

    Raises InputRejected for an archive that is damaged, encrypted or tries to leave its folder, TooLarge when it
    promises more than the limits allow.
    """
    with _open(path, limits) as archive:
        entries = [entry for entry in archive.infolist() if not _is_folder(entry) and not _is_junk(entry.filename)]
    for entry in entries:
        _refuse_unsafe(entry)
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names):
        raise InputRejected("The zip file holds two files of the same name; pack it again.")
    if len(names) > limits.members_max:
        raise TooLarge(f"The zip file holds {len(names)} files; at most {limits.members_max} are accepted.")
    if sum(entry.file_size for entry in entries) > limits.total_bytes_max:
        raise TooLarge(f"The zip file unpacks to more than the {limits.total_bytes_max} bytes that are accepted.")
    if not names:
        raise InputRejected("The zip file holds no files.")
    return names


def extract_member(path: Path, member: str, target: Path, limits: ArchiveLimits) -> None:
    """Write one member to `target`, which must not exist.

    Raises AudioRejected when it is damaged or larger than it may be, whatever its header says.
    """
    with target.open("xb") as file:
        written = 0
        for piece in _unpacked(path, member, limits):
            written += len(piece)
            if written > limits.member_bytes_max:
                raise AudioRejected("too_large", f"the file has more than {limits.member_bytes_max} bytes")
            file.write(piece)


# What zipfile raises for damaged bytes, where it does not foresee them.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
)


def _unpacked(path: Path, member: str, limits: ArchiveLimits) -> Iterator[bytes]:
    try:
        with _open(path, limits) as archive, archive.open(member) as source:
            while piece := source.read(COPY_BYTES):
                yield piece
    except _DAMAGE as error:
        raise AudioRejected("undecodable", "the file is damaged inside the zip") from error


@contextmanager
def _open(path: Path, limits: ArchiveLimits) -> Iterator[zipfile.ZipFile]:
    with _Bounded(path, limits.entries_max * _ENTRY_BYTES) as file:
        try:
            archive = zipfile.ZipFile(file)
        except _DAMAGE as error:
            raise InputRejected("The zip file is damaged or of an unknown kind; pack it again.") from error
        with archive:
            if len(archive.infolist()) > limits.entries_max:
                raise TooLarge(
                    f"The zip file holds {len(archive.infolist())} entries; "
                    f"at most {limits.members_max} files are accepted."
                )
            yield archive


class _Bounded(io.BufferedReader):
    """A zip file as zipfile reads it: the directory at one gulp, of whatever length its end claims.

    There are several places that state that length, so it is held to the limit where it is read.
    """

    def __init__(self, path: Path, gulp_bytes_max: int) -> None:
        super().__init__(io.FileIO(path))
        self._size_bytes = path.stat().st_size
        self._gulp_bytes_max = gulp_bytes_max

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self._size_bytes - self.tell() if size is None or size < 0 else size
        if wanted > self._gulp_bytes_max:
            raise TooLarge("The zip file has a directory of more entries than are accepted.")
        return super().read(wanted)


def _is_folder(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.endswith("/")


def _is_junk(name: str) -> bool:
    return name.startswith(_JUNK[0]) or PurePosixPath(name).name in _JUNK[1:]


def _refuse_unsafe(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    parts = PurePosixPath(name).parts
    is_link = (entry.external_attr >> 16) & 0o170000 == 0o120000
    if name.startswith("/") or ".." in parts or "\\" in name or ":" in name.split("/")[0] or is_link:
        raise InputRejected("The zip file holds a path that leads out of it, or a link; pack plain files.")
    if not name or len(name) > NAME_CHARACTERS_MAX:
        raise InputRejected(f"The zip file holds a path of no or more than {NAME_CHARACTERS_MAX} characters.")
    if not entry.orig_filename.isprintable():  # zipfile cuts names at a NUL
        raise InputRejected("The zip file holds a file name with control characters.")
    if entry.flag_bits & 1:
        raise InputRejected("The zip file is encrypted; send it without a password.")
    if entry.compress_type not in _METHODS:
        raise InputRejected("The zip file is packed by an unusual method; pack it again with deflate.")
