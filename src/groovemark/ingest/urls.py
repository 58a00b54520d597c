"""Which URLs may be asked for at all, by their looks; where a host leads is checked when it is asked."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import httpx

from groovemark.errors import FetchFailed

SCHEMES = "https://, http://, s3:// or file://"
URL_CHARACTERS_MAX = 2048
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_PLAIN = re.compile(r"(https?://[a-z0-9.-]+(?::[0-9]{1,5})?)/[!-~]*", re.IGNORECASE)
_S3 = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", re.IGNORECASE)
_PORTS = frozenset({80, 443})
_FIRST_FREE_PORT = 1024  # below it live mail, directories and the like, which a request could be made to speak to
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+", re.IGNORECASE)


def parse_url(text: str) -> httpx.URL:
    """An http or https URL that may be asked for. Raises FetchFailed, without a secret that the URL may hold."""
    try:
        url = httpx.URL(text)
        port = url.port
    except (httpx.InvalidURL, ValueError) as error:
        raise FetchFailed("url_forbidden", "This is not a valid URL.") from error
    if url.scheme not in ("https", "http") or not url.host:
        raise FetchFailed("url_forbidden", "A URL begins with https:// or http:// and a host.")
    if len(text) > URL_CHARACTERS_MAX:
        raise FetchFailed("url_forbidden", f"A URL has at most {URL_CHARACTERS_MAX} characters.")
    if url.userinfo:
        raise FetchFailed("url_forbidden", "A URL may not hold a user name or password.")
    if port is not None and port not in _PORTS and not _FIRST_FREE_PORT <= port <= 65535:
        raise FetchFailed("url_forbidden", f"Port {port} may not be used: 80, 443 or {_FIRST_FREE_PORT} and above.")
    host = url.raw_host.decode("ascii")
    last_label = host.rstrip(".").rpartition(".")[2]
    if "%" in host or (_NUMBER.fullmatch(last_label) and not is_address(host)):  # the C library would read 127.1, 0x7f1
        raise FetchFailed("url_forbidden", "An address in a URL is written out, as in 192.0.2.1 or [2001:db8::1].")
    return url


def scheme_of(text: str) -> str:
    """In lower case; empty where the text is no URL."""
    found = _SCHEME.match(text)
    return found[1].lower() if found else ""


def check_url(text: str) -> None:
    """Whether it can be asked for by its looks, whatever its scheme. Raises FetchFailed, which names no secret."""
    scheme = scheme_of(text)
    if scheme in ("https", "http"):
        plain = _PLAIN.fullmatch(text)
        _parse_host(plain[1]) if plain and len(text) <= URL_CHARACTERS_MAX else parse_url(text)
    elif scheme == "s3":
        if not split_s3(text)[1]:
            raise FetchFailed("url_forbidden", "An s3:// URL names a bucket and a key: s3://bucket/key.")
    elif scheme == "file":
        file_path(text)
    else:
        raise FetchFailed("url_forbidden", f"A URL begins with {SCHEMES}.")


_parse_host = lru_cache(1024)(parse_url)  # a manifest names few hosts, a million times


def split_s3(text: str) -> tuple[str, str]:
    """Bucket and key, which is taken literally; it may be empty. Raises FetchFailed."""
    found = _S3.fullmatch(text)
    key = (found[2] or "") if found else ""
    parts = key.removesuffix("/").split("/") if key else []
    if found is None or not key.isprintable() or any(part in ("", ".", "..") for part in parts):
        raise FetchFailed("url_forbidden", "An s3:// URL names a bucket and a key: s3://bucket/key.")
    return found[1], key


def file_path(text: str) -> Path:
    """The absolute path of a file:// URL. Raises FetchFailed."""
    path = unquote(text[len("file://") :], errors="surrogateescape")
    if not path.startswith("/") or "\0" in path:
        raise FetchFailed("url_forbidden", "A file:// URL names an absolute path: file:///folder/file.")
    return Path(path)


def without_query(text: str) -> str:
    """What may be shown: signatures stand in the query."""
    return text.partition("#")[0].partition("?")[0] if scheme_of(text) in ("https", "http") else text


def stem_of(text: str) -> str:
    """The name of the file that a URL leads to, without its suffix; for titles."""
    path = without_query(text).partition("://")[2]
    name = PurePosixPath(unquote(path, errors="replace")).stem
    return "".join(character if character.isprintable() else "�" for character in name)


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
