"""Who runs the server: root hands it to an unprivileged account, anyone else runs it themselves."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from groovemark.errors import ConfigurationError

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
"""All that the programs see: a PGPORT or LD_LIBRARY_PATH of the caller's is none of their business."""
UNPRIVILEGED = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    uid: int
    gid: int

    @classmethod
    def current(cls) -> Self:
        return cls(os.getuid(), os.getgid())

    @classmethod
    def unprivileged(cls) -> Self:
        """The account that root hands a new cluster to: PostgreSQL refuses to run as root."""
        for name in UNPRIVILEGED:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(entry.pw_uid, entry.pw_gid)
        raise ConfigurationError(
            f"PostgreSQL does not run as root, and there is no account {' or '.join(UNPRIVILEGED)}. "
            "Start groovemark as another user, or set POSTGRES_URI to a PostgreSQL server."
        )

    @property
    def is_somebody_else(self) -> bool:
        return self.uid != os.getuid()

    def run(
        self, command: Sequence[str | Path], *, folder: Path = Path("/"), standard_input: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Raises OSError where the account cannot be taken on or cannot execute the command."""
        drops = self.is_somebody_else
        return subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            input=standard_input,
            cwd=folder,
            env=ENVIRONMENT,
            umask=0o077,
            user=self.uid if drops else None,
            group=self.gid if drops else None,
            extra_groups=[] if drops else None,
        )

    def can_run(self, *command: str | Path) -> bool:
        try:
            return self.run(command).returncode == 0
        except OSError:
            return False

    def can_enter(self, folder: Path) -> bool:
        """Whether the folder and every parent of it are passable; asked of the kernel, which knows ACLs."""
        return self.can_run("/bin/sh", "-c", 'test -x "$0"', folder)

    def own(self, path: Path) -> None:
        if self.is_somebody_else:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)
