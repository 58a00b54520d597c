"""HTTP to where strangers' URLs lead, and never into the operator's own network.

The host is resolved here, every address of it is checked, and the connection goes to a checked address: there is no
second look-up that could answer otherwise. Each redirect is a request of its own under the same rules.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cached_property

import httpcore
import httpx

from groovemark.errors import FetchFailed, shorten
from groovemark.ingest.addresses import Address, Network, is_reachable
from groovemark.ingest.urls import is_address, parse_url

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to addresses, as text."""

REDIRECTS_MAX = 5
USER_AGENT = "groovemark"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What a server may cost.

    Attributes:
        bytes_max: of the body.
        total_s: for everything, redirects included.
        answer_s: until the head of an answer is complete, and between two pieces of its body.
        bytes_per_s_min: on average, after the first `answer_s` of the body.
    """

    bytes_max: int
    total_s: float = 600.0
    answer_s: float = 20.0
    bytes_per_s_min: int = 4096


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers`: names in lower case. `body`: no more of it than the limit."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def resolve_host(host: str, port: int) -> Sequence[str]:
    """Addresses by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class GuardedClient:
    """Fetches and posts, to public addresses and those of the allowed networks.

    Knows no proxy and keeps no connection or cookie. Sync callers in a thread of their own use `asyncio.run`.

    Args:
        allowed: networks that may be reached although they are not public; none but the operator may name them.
        resolve: how hosts become addresses.
        ssl_context: which certificates are trusted; those that httpx trusts by default.
    """

    def __init__(
        self,
        *,
        allowed: Iterable[Network] = (),
        resolve: Resolve = resolve_host,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._backend = _CheckedBackend(tuple(allowed), resolve)
        self._given_context = ssl_context

    @cached_property
    def _ssl_context(self) -> ssl.SSLContext:
        return self._given_context or httpx.create_ssl_context()

    async def get(self, url: str, write: Callable[[bytes], object], limits: FetchLimits) -> None:
        """Hand the body of a 200 to `write`, piece by piece; at most REDIRECTS_MAX redirects are followed.

        Raises FetchFailed.
        """
        async with _within(limits.total_s):
            await self._follow(parse_url(url), write, limits)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], limits: FetchLimits) -> Answer:
        """Whatever was answered; a redirect is an answer like others. Raises FetchFailed where there was none."""
        async with (
            _within(limits.total_s),
            self._send("POST", parse_url(url), limits, body=body, headers=headers) as response,
        ):
            received = bytearray()
            async for piece in _pieces(response, limits):
                received += piece[: limits.bytes_max - len(received)]
                if len(received) >= limits.bytes_max:
                    break
            return Answer(response.status, _headers(response), bytes(received))

    async def _follow(self, url: httpx.URL, write: Callable[[bytes], object], limits: FetchLimits) -> None:
        for _ in range(REDIRECTS_MAX + 1):
            async with self._send("GET", url, limits) as response:
                if response.status not in _REDIRECTS:
                    await _save(response, write, limits)
                    return
                url = _next(url, _headers(response))
        raise FetchFailed("url_status", f"The URL leads through more than {REDIRECTS_MAX} redirects.")

    @asynccontextmanager
    async def _send(
        self,
        method: str,
        url: httpx.URL,
        limits: FetchLimits,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[httpcore.Response]:
        sent = {"host": url.netloc.decode("ascii"), "user-agent": USER_AGENT, "accept": "*/*"}
        sent |= {"accept-encoding": "identity", "connection": "close", **(headers or {})}
        if body is not None:
            sent["content-length"] = str(len(body))
        request = httpcore.Request(
            method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=list(sent.items()),
            content=body,
            extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), limits.answer_s)},
        )
        pool = httpcore.AsyncConnectionPool(
            ssl_context=self._ssl_context if url.scheme == "https" else None, network_backend=self._backend
        )
        with _named(limits):
            async with pool:
                async with asyncio.timeout(limits.answer_s):  # a head may drip, too
                    response = await pool.handle_async_request(request)
                try:
                    yield response
                finally:
                    await response.aclose()


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections to checked addresses only. TLS above it is still verified against the URL's host."""

    def __init__(self, allowed: Sequence[Network], resolve: Resolve) -> None:
        self._allowed, self._resolve = allowed, resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failure: Exception | None = None
        for address in await self._addresses(host, port):
            try:
                return await self._network.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise FetchFailed("url_unreachable", f"{host} does not accept connections.") from failure

    async def _addresses(self, host: str, port: int) -> list[Address]:
        """Raises FetchFailed where any address is forbidden: such a name has no honest use."""
        try:
            texts = [host] if is_address(host) else await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise FetchFailed("url_unreachable", f"There is no host {host}.") from error
        addresses = [ipaddress.ip_address(text) for text in dict.fromkeys(texts)]
        if not all(is_reachable(address, self._allowed) for address in addresses):
            message = f"{host} is not on the public internet; the operator can allow it with FETCH_ALLOWED_NETWORKS."
            raise FetchFailed("url_forbidden", message)
        return addresses


async def _save(response: httpcore.Response, write: Callable[[bytes], object], limits: FetchLimits) -> None:
    headers = _headers(response)
    if response.status != 200:
        raise FetchFailed("url_status", f"The server answered {response.status}.")
    if (encoding := headers.get("content-encoding", "identity").strip().lower()) not in ("", "identity"):
        raise FetchFailed(
            "url_status", f"The server sends the file packed ({encoding[:32]!a}), which nobody asked for."
        )
    told = headers.get("content-length", "")
    if told.isdecimal() and int(told[:20]) > limits.bytes_max:
        raise _too_large(limits)
    received = 0
    async for piece in _pieces(response, limits):
        received += len(piece)
        if received > limits.bytes_max:
            raise _too_large(limits)
        write(piece)


async def _pieces(response: httpcore.Response, limits: FetchLimits) -> AsyncIterator[bytes]:
    began, received = time.monotonic(), 0
    async for piece in response.aiter_stream():
        received += len(piece)
        elapsed_s = time.monotonic() - began
        if elapsed_s > limits.answer_s and received < elapsed_s * limits.bytes_per_s_min:
            raise FetchFailed("url_too_slow", f"The server sends less than {limits.bytes_per_s_min} bytes a second.")
        yield piece


@contextmanager
def _named(limits: FetchLimits) -> Iterator[None]:
    """Failures of the network as ours. They name no URL: it may hold a signature."""
    try:
        yield
    except (TimeoutError, httpcore.TimeoutException) as error:
        raise FetchFailed("url_too_slow", f"The server was silent for {limits.answer_s:g} s.") from error
    except httpcore.ConnectError as error:
        raise FetchFailed("url_unreachable", f"No safe connection to the server: {shorten(str(error))}.") from error
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise FetchFailed("url_unreachable", "The server broke the connection off, or speaks no HTTP.") from error


@asynccontextmanager
async def _within(total_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(total_s):
            yield
    except TimeoutError as error:
        raise FetchFailed("url_too_slow", f"The server did not send everything within {total_s:g} s.") from error


def _next(url: httpx.URL, headers: Mapping[str, str]) -> httpx.URL:
    try:
        target = url.join(headers["location"])
    except (KeyError, httpx.InvalidURL, ValueError) as error:
        raise FetchFailed("url_status", "The server redirects to no valid URL.") from error
    if url.scheme == "https" and target.scheme != "https":
        raise FetchFailed("url_forbidden", "The server redirects from https to something else.")
    return parse_url(str(target))


def _headers(response: httpcore.Response) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}


def _too_large(limits: FetchLimits) -> FetchFailed:
    return FetchFailed("url_too_large", f"The file has more than {limits.bytes_max} bytes.")
