"""HTTP that strangers' URLs cannot turn inwards."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from servers import Server, answer, saying, serving

from groovemark.errors import FetchFailed
from groovemark.ingest.addresses import Network, is_reachable
from groovemark.ingest.guarded import FetchLimits, GuardedClient

LOOPBACK = ipaddress.ip_network("127.0.0.1/32")
LIMITS = FetchLimits(bytes_max=100_000, total_s=10, answer_s=5)
HASTY = FetchLimits(bytes_max=100_000, total_s=0.6, answer_s=0.2, bytes_per_s_min=1000)


class Names:
    """A resolver that gives each look-up of a name its next answer, the last again and again."""

    def __init__(self, **answers: Sequence[str]) -> None:
        self._answers: dict[str, Iterator[str]] = {}
        self._last = dict.fromkeys(answers, "")
        for name, addresses in answers.items():
            self._answers[name] = iter(addresses)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        name = host.partition(".")[0]
        self._last[name] = next(self._answers[name], self._last[name])
        return self._last[name].split()


def client(*allowed: Network, **options: object) -> GuardedClient:
    return GuardedClient(allowed=allowed or (LOOPBACK,), **options)  # type: ignore[arg-type]


async def get(url: str, guarded: GuardedClient, limits: FetchLimits = LIMITS) -> bytes:
    received = bytearray()
    await guarded.get(url, received.extend, limits)
    return bytes(received)


async def refused(url: str, guarded: GuardedClient, limits: FetchLimits = LIMITS) -> tuple[str, str]:
    with pytest.raises(FetchFailed) as caught:
        await get(url, guarded, limits)
    return caught.value.reason, caught.value.message


FORBIDDEN = """
    0.0.0.0 10.1.2.3 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 168.63.129.16 169.254.169.254 172.16.0.1
    172.31.255.255 192.0.0.192 192.168.1.1 198.18.0.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
    :: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b::10.0.0.1
    64:ff9b:1::1 100::1 2001::1 2001:0:7f00:1::1 2001:db8::1 2002:7f00:1::1 3fff::1 5f00::1 fc00::1 fd00:ec2::254
    fe80::1 fec0::1 ff02::1
"""


@pytest.mark.parametrize("address", FORBIDDEN.split())
def test_address_that_is_not_public_is_out_of_reach(address: str) -> None:
    assert not is_reachable(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::8.8.8.8"])
def test_public_address_is_in_reach(address: str) -> None:
    assert is_reachable(ipaddress.ip_address(address))


def test_only_the_networks_that_the_operator_names_are_allowed_besides() -> None:
    allowed = [ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd12::/32")]
    found = [
        is_reachable(ipaddress.ip_address(text), allowed) for text in ("10.1.2.3", "10.2.0.1", "fd12::1", "fd13::")
    ]
    assert found == [True, False, True, False]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.0.1.",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "0",
        "0.0.0.0",  # noqa: S104
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "[fe80::1%25lo]",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "inside.test",
        "mixed.test",
        "①②⑦.⓪.⓪.①",
        "loc%61lhost",
        "user@127.0.0.1",
        "example.com@127.0.0.1",
    ],
)
async def test_no_spelling_of_loopback_makes_a_connection(host: str) -> None:
    names = Names(inside=["127.0.0.1"], mixed=["8.8.8.8 127.0.0.1"], localhost=["127.0.0.1"], LOCALHOST=["::1"])
    nothing_allowed = GuardedClient(resolve=names)
    async with serving(saying(answer(b"secret"))) as server:
        reason, _ = await refused(f"http://{host}:{server.port}/", nothing_allowed)
        await asyncio.sleep(0)
    assert (reason, server.connections) == ("url_forbidden", 0)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/a",
        "gopher://example.com/",
        "//example.com/",
        "example.com",
        "http://",
        "http:///a",
        "http://example.com:22/",
        "http://example.com:99999/",
        "http://[::1",
        "http://exa mple.com/",
        "http://example.com/\r\nHost: inside",
        "https://name:word@example.com/",
        "https://example.com/" + "a" * 2048,
        "",
    ],
)
async def test_what_is_no_plain_web_address_is_refused_before_anything_is_looked_up(url: str) -> None:
    names = Names()
    reason, message = await refused(url, client(resolve=names))
    assert (reason, names.asked) == ("url_forbidden", [])
    assert "word" not in message or "password" in message


async def test_a_file_is_fetched_with_the_host_of_its_url() -> None:
    async with serving(saying(answer(b"music" * 1000))) as server:
        names = Names(music=["127.0.0.1"])
        url = f"http://music.test:{server.port}/a%20b.wav?x=1#part"
        assert await get(url, client(resolve=names)) == b"music" * 1000
    assert server.requests[0].startswith(b"GET /a%20b.wav?x=1 HTTP/1.1\r\n")
    assert f"host: music.test:{server.port}\r\n".encode() in server.requests[0].lower()
    assert names.asked == ["music.test"]


async def test_a_name_that_is_rebound_between_two_requests_is_refused_at_the_second() -> None:
    async with serving(saying(answer(b"secret")), host="127.0.0.2") as inside:
        target = f"http://music.test:{inside.port}/"
        async with serving(saying(answer(status=302, location=target))) as server:
            names = Names(music=["127.0.0.1", "127.0.0.2"])
            reason, _ = await refused(f"http://music.test:{server.port}/", client(resolve=names))
    assert (reason, server.connections, inside.connections) == ("url_forbidden", 1, 0)


async def test_a_name_is_looked_up_once_so_rebinding_it_at_once_changes_nothing() -> None:
    async with serving(saying(answer(b"music"))) as server:
        names = Names(music=["127.0.0.1", "127.0.0.2"])
        assert await get(f"http://music.test:{server.port}/", client(resolve=names)) == b"music"
    assert names.asked == ["music.test"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_inwards_is_not_followed(status: int) -> None:
    async with serving(saying(answer(b"secret")), host="127.0.0.2") as inside:
        target = f"//127.0.0.2:{inside.port}/"
        async with serving(saying(answer(status=status, location=target))) as server:
            reason, _ = await refused(f"http://127.0.0.1:{server.port}/", client())
    assert (reason, server.connections, inside.connections) == ("url_forbidden", 1, 0)


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/", "http://u:p@127.0.0.1/", "http://127.1/"]
)
async def test_a_redirect_to_another_kind_of_place_is_not_followed(location: str) -> None:
    async with serving(saying(answer(status=302, location=location))) as server:
        reason, message = await refused(f"http://127.0.0.1:{server.port}/", client())
    assert (reason, server.connections) == ("url_forbidden", 1)
    assert "u:p" not in message


async def test_five_redirects_are_followed_and_no_more() -> None:
    async def speak(request: bytes, writer: asyncio.StreamWriter) -> None:
        left = int(request.split()[1][1:])
        writer.write(answer(b"music") if left == 0 else answer(status=302, location=f"/{left - 1}"))

    async with serving(speak) as server:
        assert await get(f"http://127.0.0.1:{server.port}/5", client()) == b"music"
        assert server.connections == 6
        assert (await refused(f"http://127.0.0.1:{server.port}/6", client()))[0] == "url_status"
        assert server.connections == 12


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (answer(status=404), "url_status"),
        (answer(status=204), "url_status"),
        (answer(status=302), "url_status"),
        (answer(b"x", status=206), "url_status"),
        (answer(b"\x1f\x8b", content_encoding="gzip"), "url_status"),
        (b"HTTP/1.1 200 x\r\ncontent-length: 100001\r\n\r\n", "url_too_large"),
        (b"HTTP/1.1 200 x\r\n\r\n" + b"x" * 100_001, "url_too_large"),
        (
            b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n" + b"5000\r\n" + b"x" * 0x5000 + b"\r\n",
            "url_unreachable",
        ),
        (b"HTTP/1.1 200 x\r\ncontent-length: 10\r\n\r\nxxx", "url_unreachable"),
        (b"HTTP/1.1 200 x\r\nx: " + b"y" * 1_000_000, "url_unreachable"),
        (b"HTTP/1.1 200 x\r\n" + b"x: y\r\n" * 100_000, "url_unreachable"),
        (b"SSH-2.0-OpenSSH\r\n", "url_unreachable"),
        (b"", "url_unreachable"),
    ],
)
async def test_an_answer_that_is_no_file_of_the_allowed_size_is_refused(said: bytes, reason: str) -> None:
    async with serving(saying(said)) as server:
        assert (await refused(f"http://127.0.0.1:{server.port}/", client()))[0] == reason


async def test_an_endless_body_ends_at_the_limit() -> None:
    async def speak(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 x\r\n\r\n")
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    received = bytearray()
    async with serving(speak) as server:
        with pytest.raises(FetchFailed, match="more than 100000 bytes"):
            await client().get(f"http://127.0.0.1:{server.port}/", received.extend, LIMITS)
    assert len(received) <= LIMITS.bytes_max


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 x\r\n\r\n", b"HTTP/1.1 200 x\r\nx: ", b"HTTP/1.1 100 x\r\n\r\n"])
async def test_a_body_or_head_that_drips_is_given_up(head: bytes) -> None:
    async def speak(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving(speak) as server:
        assert (await refused(f"http://127.0.0.1:{server.port}/", client(), HASTY))[0] in (
            "url_too_slow",
            "url_unreachable",
        )


async def test_silence_and_a_body_that_takes_too_long_in_all_are_given_up() -> None:
    async def silent(request: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async def long(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 x\r\n\r\n")
        while True:
            writer.write(b"x" * 100)
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving(silent) as mute, serving(long) as slow:
        assert "silent for 0.2 s" in (await refused(f"http://127.0.0.1:{mute.port}/", client(), HASTY))[1]
        assert "within 0.6 s" in (await refused(f"http://127.0.0.1:{slow.port}/", client(), HASTY))[1]


async def test_a_closed_port_and_a_name_nobody_has_are_told_apart() -> None:
    async def nowhere(host: str, port: int) -> Sequence[str]:
        raise OSError("Name or service not known")

    async with serving(saying(b"")) as server:
        pass
    assert "does not accept" in (await refused(f"http://127.0.0.1:{server.port}/", client()))[1]
    assert "no host music.test" in (await refused("http://music.test/", client(resolve=nowhere)))[1]


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(saying(answer(b"proxied"))) as proxy, serving(saying(answer(b"music"))) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert await get(f"http://127.0.0.1:{server.port}/", client()) == b"music"
    assert proxy.connections == 0


@pytest.fixture(scope="session")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context for music.test, and that of a client who trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "music.test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("music.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path: Path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=str(path))


async def test_the_certificate_is_that_of_the_name_and_of_no_address(
    certified: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    names = Names(music=["127.0.0.1"], other=["127.0.0.1"])
    trusting = client(resolve=names, ssl_context=certified[1])
    async with serving(saying(answer(b"music")), tls=certified[0]) as server:
        assert await get(f"https://music.test:{server.port}/", trusting) == b"music"
        assert "certificate" in (await refused(f"https://other.test:{server.port}/", trusting))[1]
        assert "certificate" in (await refused(f"https://127.0.0.1:{server.port}/", trusting))[1]
        assert "certificate" in (await refused(f"https://music.test:{server.port}/", client(resolve=names)))[1]
    assert len(server.requests) == 1


async def test_a_redirect_from_https_to_http_is_not_followed(
    certified: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    names = Names(music=["127.0.0.1"])
    async with serving(saying(answer(b"music"))) as plain:
        target = f"http://music.test:{plain.port}/"
        async with serving(saying(answer(status=301, location=target)), tls=certified[0]) as server:
            guarded = client(resolve=names, ssl_context=certified[1])
            reason, _ = await refused(f"https://music.test:{server.port}/", guarded)
    assert (reason, plain.connections) == ("url_forbidden", 0)


async def post(server: Server, guarded: GuardedClient, limits: FetchLimits = LIMITS) -> tuple[int, bytes]:
    found = await guarded.post(f"http://127.0.0.1:{server.port}/hook", b'{"a": 1}', {"webhook-id": "7"}, limits)
    return found.status, found.body


async def test_a_post_is_sent_whole_and_any_answer_is_an_answer() -> None:
    async with serving(saying(answer(b"no", status=410, retry_after="7"))) as server:
        assert await post(server, client()) == (410, b"no")
    head = server.requests[0].lower()
    assert head.startswith(b"post /hook http/1.1\r\n")
    assert b"webhook-id: 7\r\n" in head
    assert b"content-length: 8\r\n" in head


async def test_a_post_follows_no_redirect_and_reads_no_more_of_an_answer_than_the_limit() -> None:
    async with serving(saying(answer(status=307, location="/elsewhere"))) as server:
        assert await post(server, client()) == (307, b"")
        assert server.connections == 1
    async with serving(saying(answer(b"x" * 1000))) as server:
        assert await post(server, client(), FetchLimits(bytes_max=10)) == (200, b"x" * 10)


async def test_a_post_inwards_makes_no_connection() -> None:
    async with serving(saying(answer())) as server:
        with pytest.raises(FetchFailed):
            await post(server, GuardedClient())
    assert server.connections == 0
