"""`make attack`: every attack with its full number of trials, against processes and a PostgreSQL of its own."""

from __future__ import annotations

import sys

from tests.attack.register import SCENARIOS
from tests.chaos.__main__ import main
from tests.chaos.site import REPOSITORY

STATE = REPOSITORY / ".venv" / "attack.json"
COLUMNS = ("scenario", "trials", "verdict", "seconds", "promise")

if __name__ == "__main__":
    sys.exit(main(SCENARIOS, program="attack", state=STATE, columns=COLUMNS))
