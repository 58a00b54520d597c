"""S16: URLs to loopback, private, link-local, metadata and mapped addresses, in every spelling."""

from __future__ import annotations

from collections.abc import Iterator

from tests.attack.fetching import Ways, play
from tests.attack.place import SETTINGS
from tests.chaos.scenario import Scenario

LOOPBACK = "127.0.0.1 127.0.0.3 127.255.255.254 0.0.0.0 127.1 127.0.1 2130706433 0x7f000001 0x7f.1 0177.0.0.1 "
LOOPBACK += "017700000001 127.0.0.1. 0 127.000.000.001 ①②⑦.⓪.⓪.① 127。0。0。1"
PRIVATE = "10.0.0.1 10.255.255.254 172.16.0.1 172.31.255.254 192.168.0.1 100.64.0.1 169.254.0.1 169.254.169.254 "
PRIVATE += "169.254.170.2 168.63.129.16 198.18.0.1 192.0.0.192 100.100.100.200 224.0.0.1 255.255.255.255 240.0.0.1"
SIX = "fd00:ec2::254 fe80::1 fc00::1 ff02::1 2002:7f00:1::1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe ::ffff:169.254.169.254"
NAMES = "localhost localhost. LOCALHOST inside.test metadata.test private.test mapped.test six.test both.test"


def urls(ways: Ways) -> Iterator[str]:
    port = ways.inside
    yield from (f"http://{host}:{port}/a.wav" for host in LOOPBACK.split())
    yield from (f"http://{host}:{port}/a.wav" for host in NAMES.split())
    yield from (f"http://{host}/a.wav" for host in PRIVATE.split())
    yield from (f"http://[{host}]/a.wav" for host in SIX.split())
    mapped = ["::1", "::", "::ffff:127.0.0.1", "::ffff:7f00:1", "::127.0.0.1", "0:0:0:0:0:ffff:7f00:0001", "::1%25lo"]
    yield from (f"http://[{host}]:{ways.inside_six}/a.wav" for host in mapped)
    yield f"https://127.0.0.1:{port}/a.wav"
    yield f"http://good.test@127.0.0.1:{port}/a.wav"
    yield f"http://127.0.0.1:{port}#@good.test:{ways.port}/sound/a.wav"
    yield f"http://127.0.0.1:{port}\\@good.test:{ways.port}/sound/a.wav"
    yield f"http://good.test:{ways.port}@127.0.0.1:{port}/a.wav"
    yield f"HTTP://127.0.0.1:{port}/a.wav"
    yield "file:///etc/passwd"
    yield "file://localhost/etc/passwd"
    yield "s3://bucket/a.wav"
    yield from (f"{scheme}://127.0.0.1:{port}/a" for scheme in ("ftp", "gopher", "dict", "ldap", "unix", "data", "jar"))


SCENARIO = Scenario(
    "S16",
    "URLs to loopback, private, link-local, metadata, mapped IPv6: no packet to a forbidden address",
    lambda act: play(act, lambda ways: list(urls(ways))[:: act.size["step"]]),
    full={"step": 1},
    short={"step": 9},
    settings=SETTINGS,
)
