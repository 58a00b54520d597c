"""Which addresses may be given for a webhook."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from groovemark.errors import FetchFailed, RequestRejected
from groovemark.ingest.addresses import Network, is_reachable
from groovemark.ingest.urls import parse_url

_INTERNAL = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa")


def refuse_url(url: str, allowed: Sequence[Network]) -> None:
    """Raises RequestRejected for what is no address, or plainly an internal one.

    Every attempt to send checks where the host's name leads to then; this only tells it early. Where the operator
    allows networks of their own, hosts may have any name.
    """
    try:
        parsed = parse_url(url)
    except FetchFailed as error:
        raise RequestRejected(f"url: {error.message}") from error
    if not url.isascii() or not url.isprintable() or parsed.fragment:
        raise RequestRejected("url: write it in ASCII characters, without a fragment.")
    host = parsed.host.rstrip(".").lower()
    try:
        is_internal = not is_reachable(ipaddress.ip_address(host), allowed)
    except ValueError:
        is_internal = not allowed and ("." not in host or host.endswith(_INTERNAL))
    if is_internal:
        raise RequestRejected("url: the host is not on the public internet.")
