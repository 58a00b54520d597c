"""Zip files of audio: which members are items, and one member at a time as a file."""

from __future__ import annotations

import hashlib
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from groovemark.errors import AudioRejected, InputRejected, TooLarge

COPY_BYTES = 256 * 1024
NAME_CHARACTERS_MAX = 500
_ENTRY_BYTES = 1024  # of the directory, name and extra fields included: generous
_DIRECTORY_BYTES_MAX = 64 * 1024 * 1024  # it is read into memory
# Of these zipfile unpacks no more than it is asked for; of the others a whole block, however large it becomes.
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_JUNK = ("__MACOSX/", ".DS_Store", "Thumbs.db")


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    members_max: int
    member_bytes_max: int
    total_bytes_max: int

    @property
    def entries_max(self) -> int:
        """Folders and litter are entries too: a Mac adds one for every file."""
        return 2 * self.members_max + 1000

    @property
    def directory_bytes_max(self) -> int:
        return min(self.entries_max * _ENTRY_BYTES, _DIRECTORY_BYTES_MAX)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive, as the archive describes it; its bytes may say otherwise."""

    name: str
    size_bytes: int
    crc32: int


def list_members(path: Path, limits: ArchiveLimits) -> list[Member]:
    """The files in the archive, in its order; folders and the litter of operating systems are left out.

    Raises InputRejected for an archive that is damaged, encrypted or tries to leave its folder, TooLarge when it
    promises more than the limits allow.
    """
    with open_archive(path, limits) as archive:
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
    return [Member(entry.filename, entry.file_size, entry.CRC) for entry in entries]


def hash_members(
    path: Path, names: Sequence[str], limits: ArchiveLimits, *, should_stop: Callable[[], bool] = lambda: False
) -> dict[str, str]:
    """SHA-256 of some members by name; those that are damaged or too large are left out.

    Args:
        should_stop: asked after every piece; what was found by then is the answer.
    """
    found: dict[str, str] = {}
    with open_archive(path, limits) as archive:
        for name in names:
            digest = hashlib.sha256()
            try:
                for piece in _unpacked(archive, name, limits):
                    digest.update(piece)
                    if should_stop():
                        return found
            except AudioRejected:
                continue
            found[name] = digest.hexdigest()
    return found


def extract_member(archive: zipfile.ZipFile, member: str, target: Path, limits: ArchiveLimits) -> None:
    """Write one member to `target`, which must not exist.

    Raises AudioRejected when it is damaged or larger than it may be, whatever its header says.
    """
    with target.open("xb") as file:
        for piece in _unpacked(archive, member, limits):
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


def _unpacked(archive: zipfile.ZipFile, member: str, limits: ArchiveLimits) -> Iterator[bytes]:
    unpacked = 0
    try:
        with archive.open(member) as source:
            while piece := source.read(COPY_BYTES):
                unpacked += len(piece)
                if unpacked > limits.member_bytes_max:
                    raise AudioRejected("too_large", f"the file has more than {limits.member_bytes_max} bytes")
                yield piece
    except _DAMAGE as error:
        raise _damaged() from error


def _damaged() -> AudioRejected:
    return AudioRejected("undecodable", "the file is damaged inside the zip")


@contextmanager
def open_archive(path: Path, limits: ArchiveLimits) -> Iterator[zipfile.ZipFile]:
    """For `extract_member`, in several threads at once if need be. Raises InputRejected or TooLarge."""
    with _Bounded(path, limits.directory_bytes_max) as file:
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
