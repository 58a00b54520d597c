"""Files that tell FFmpeg, or a browser, or a shell, to go elsewhere; and files that are two things at once."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.inputs import aac_file, audio_file, fma_rows, to_csv, zip_file

ATOMS_AROUND = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")
SUFFIXES = (".mp3", ".m4a", ".flac", ".wav", ".ogg", ".aac", ".m3u8")


def _texts(canary: Path, url: str) -> dict[str, str]:
    hls = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n"
    port = url.rpartition(":")[2].partition("/")[0]
    return {
        "hls-file": f"{hls}file://{canary}\n#EXT-X-ENDLIST\n",
        "hls-path": f"{hls}{canary}\n#EXT-X-ENDLIST\n",
        "hls-http": f"{hls}{url}a.ts\n#EXT-X-ENDLIST\n",
        "hls-concat": f"{hls}concat:{url}a|{canary}\n#EXT-X-ENDLIST\n",
        "hls-subfile": f"{hls}subfile,,start,0,end,100000,,:{canary}\n#EXT-X-ENDLIST\n",
        "hls-key": f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{url}key"\n#EXTINF:1,\n{canary}\n#EXT-X-ENDLIST\n',
        "hls-map": f'#EXTM3U\n#EXT-X-MAP:URI="file://{canary}"\n#EXTINF:1,\n{url}a.m4s\n#EXT-X-ENDLIST\n',
        "ffconcat": f"ffconcat version 1.0\nfile '{canary}'\nfile '{url}a.wav'\n",
        "concat": f"concat:{canary}|{url}a.wav",
        "file": f"file:{canary}",
        "path": str(canary),
        "m3u": f"{canary}\n{url}a.mp3\n",
        "pls": f"[playlist]\nFile1={url}a.mp3\nFile2={canary}\nNumberOfEntries=2\n",
        "asx": f'<asx version="3.0"><entry><ref href="{url}a.mp3"/></entry></asx>',
        "xspf": f"<playlist><trackList><track><location>{url}a.mp3</location></track></trackList></playlist>",
        "smil": f'<smil><body><audio src="{url}a.mp3"/></body></smil>',
        "dash": f'<?xml version="1.0"?><MPD><Period><BaseURL>{url}</BaseURL></Period></MPD>',
        "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio {port} RTP/AVP 0\n",
        "rtsp": f"RTSPtext\nrtsp://127.0.0.1:{port}/a\n",
        "cue": f'FILE "{canary}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n',
        "xxe": f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "{url}">]><a>&b;</a>',
        "lavfi": f"amovie={canary}",
        "url-shortcut": f"[InternetShortcut]\nURL={url}\n",
    }


def playlists(canary: Path, url: str) -> dict[str, bytes]:
    """Plain, and behind what other formats begin with, under the names of audio files; by name."""
    found: dict[str, bytes] = {}
    for number, (kind, text) in enumerate(_texts(canary, url).items()):
        plain = text.encode()
        suffix = SUFFIXES[number % len(SUFFIXES)]
        found[f"{kind}{suffix}"] = plain
        found[f"{kind}-id3.mp3"] = b"ID3\x04\0\0\0\0\0\0" + plain
        found[f"{kind}-ftyp.m4a"] = b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom\0\0\0\0" + plain
    found |= {f"dref-{kind.decode().strip()}.m4a": referring_m4a(kind, str(canary)) for kind in (b"alis", b"url ")}
    found["dref-http.m4a"] = referring_m4a(b"url ", url)
    return found


def referring_m4a(kind: bytes, target: str) -> bytes:
    """An m4a whose samples lie in another file, by its data reference."""
    plain = aac_file("ipod", 1)
    at = plain.index(b"url \0\0\0\1") - 4
    name = target.encode()
    if kind == b"alis":  # Apple's alias: the path is the tag 2 behind a fixed record of 150 bytes
        body = bytes(150) + struct.pack(">HH", 2, len(name)) + name + bytes(len(name) % 2) + b"\xff\xff\0\0"
    else:
        body = name + b"\0"
    reference = struct.pack(">I4sI", 12 + len(body), kind, 0) + body
    grown = len(reference) - 12
    content = bytearray(plain[:at] + reference + plain[at + 12 :])
    for atom in ATOMS_AROUND:
        start = plain.index(atom) - 4
        content[start : start + 4] = struct.pack(">I", int.from_bytes(plain[start : start + 4], "big") + grown)
    return bytes(content)


def polyglots(marker: Path) -> dict[str, bytes]:
    """Sound to a decoder, something else to whoever else opens it; or the other way round. By name."""
    wav, mp3 = audio_file("wav"), audio_file("mp3")
    script = f"#!/bin/sh\ntouch {marker}\nexit\n".encode()
    code = f"import pathlib; pathlib.Path({str(marker)!r}).touch()\n".encode()
    table = to_csv(fma_rows(3))
    archive = zip_file({"inside.wav": audio_file(seed=5)})
    return {
        "wav-and-zip.wav": wav + archive,
        "mp3-and-zip.mp3": mp3 + archive,
        "zip-behind-html.mp3": b"<html><script>alert(1)</script>" + archive,
        "html-and-mp3.mp3": b"<html><body onload=alert(1)>" + bytes(64) + mp3,
        "html-in-id3.mp3": _id3(b"<script>alert(1)</script>") + mp3,
        "html.mp3": b"<!doctype html><script>alert(1)</script>",
        "pdf-and-mp3.mp3": b"%PDF-1.4\n" + mp3,
        "script.mp3": script,
        "script-and-mp3.mp3": script + mp3,
        "python-and-wav.wav": code + wav,
        "python.wav": code,
        "program.flac": b"\x7fELF\x02\x01\x01" + bytes(57) + mp3,
        "csv-and-wav.wav": table + wav,
        "csv.wav": table,
        "svg.ogg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "pickle.wav": b"cos\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR.",
        "id3-url.mp3": _id3(b"", url=b"http://127.0.0.1:1/") + mp3,
        "$(touch " + str(marker).replace("/", "_") + ").wav": wav,
        "`touch marker`.wav": wav,
        "-i.wav": wav,
        "pipe:0.wav": wav,
    }


def _id3(title: bytes, *, url: bytes = b"") -> bytes:
    frames = b"TIT2" + struct.pack(">IH", len(title) + 1, 0) + b"\3" + title
    if url:
        frames += b"APIC" + struct.pack(">IH", len(url) + 7, 0) + b"\0-->\0\3\0" + url
    size = len(frames)
    return b"ID3\3\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + frames
