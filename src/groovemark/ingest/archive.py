"""Zip files of audio: which members are items, and one member at a time as a file."""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from groovemark.errors import AudioRejected, InputRejected, TooLarge

COPY_BYTES = 256 * 1024
NAME_CHARACTERS_MAX = 500
_END_RECORD = b"PK\x05\x06"
_END_RECORD_BYTES_MAX = 22 + 65_535
_JUNK = ("__MACOSX/", ".DS_Store", "Thumbs.db")


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    members_max: int
    member_bytes_max: int
    total_bytes_max: int


def list_members(path: Path, limits: ArchiveLimits) -> list[str]:
    """Paths of the files in the archive, in its order; folders and the litter of operating systems are left out.

    Raises InputRejected for an archive that is damaged, encrypted or tries to leave its folder, TooLarge when it
    promises more than the limits allow.
    """
    _refuse_crowd(path, limits)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir() and not _is_junk(entry.filename)]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise InputRejected("The zip file is damaged or of an unknown kind; pack it again.") from error
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
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as source, target.open("xb") as file:
            written = 0
            while piece := source.read(COPY_BYTES):
                written += len(piece)
                if written > limits.member_bytes_max:
                    raise AudioRejected("too_large", f"the file has more than {limits.member_bytes_max} bytes")
                file.write(piece)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError) as error:
        raise AudioRejected("undecodable", "the file is damaged inside the zip") from error


def _refuse_crowd(path: Path, limits: ArchiveLimits) -> None:
    """Count the entries before zipfile makes an object of each."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _END_RECORD_BYTES_MAX))
        tail = file.read()
    at = tail.rfind(_END_RECORD)
    if at < 0 or len(tail) - at < 22:
        raise InputRejected("The zip file is damaged: its end is missing. Was the upload cut?")
    entries, directory_bytes = struct.unpack_from("<HI", tail, at + 10)
    # Folders and litter are entries too; 0xFFFF announces a zip64 file, whose directory size tells as much.
    if entries > 4 * limits.members_max + 1000 or (
        directory_bytes != 0xFFFFFFFF and directory_bytes > (4 * limits.members_max + 1000) * 1024
    ):
        raise TooLarge(f"The zip file holds {entries} entries; at most {limits.members_max} files are accepted.")


def _is_junk(name: str) -> bool:
    return name.startswith(_JUNK[0]) or PurePosixPath(name).name in _JUNK[1:]


def _refuse_unsafe(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    parts = PurePosixPath(name).parts
    is_link = (entry.external_attr >> 16) & 0o170000 == 0o120000
    if name.startswith("/") or ".." in parts or "\\" in name or ":" in name.split("/")[0] or is_link:
        raise InputRejected("The zip file holds a path that leads out of it, or a link; pack plain files.")
    if len(name) > NAME_CHARACTERS_MAX:
        raise InputRejected(f"The zip file holds a path of more than {NAME_CHARACTERS_MAX} characters.")
    if not name.isprintable():
        raise InputRejected("The zip file holds a file name with control characters.")
    if entry.flag_bits & 1:
        raise InputRejected("The zip file is encrypted; send it without a password.")
