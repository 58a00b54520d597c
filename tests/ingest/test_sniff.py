from __future__ import annotations

import gzip
import io
import subprocess
import sys
import zipfile

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from groovemark.ingest.sniff import HEAD_BYTES, Content, sniff

SAMPLES = np.random.default_rng(1).uniform(-0.5, 0.5, (44_100, 2)).astype(np.float32)


def sound(format_name: str, subtype: str | None = None, sample_rate: int = 44_100) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, SAMPLES, sample_rate, format=format_name, subtype=subtype)
    return buffer.getvalue()


def mp4(format_name: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=format_name) as container:
        stream = container.add_stream("aac", rate=44_100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(SAMPLES.T), format="fltp", layout="stereo")
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def id3(size: int) -> bytes:
    return b"ID3\x04\x00\x00" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("song.mp3", b"x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (sound("WAV"), Content.WAV),
        (sound("WAVEX"), Content.WAV),
        (sound("RF64"), Content.WAV),
        (sound("FLAC"), Content.FLAC),
        (sound("OGG", "VORBIS"), Content.OGG),
        (sound("OGG", "OPUS", 48_000), Content.OGG),
        (sound("MP3"), Content.MP3),
        (sound("MP3", sample_rate=16_000), Content.MP3),
        (sound("MP3", sample_rate=8_000), Content.MP3),
        (id3(300) + sound("MP3"), Content.MP3),
        (id3(100_000) + sound("MP3"), Content.MP3),
        (id3(300) + sound("FLAC"), Content.FLAC),
        (id3(300) + mp4("adts"), Content.AAC),
        (mp4("ipod"), Content.M4A),
        (mp4("mp4"), Content.M4A),
        (mp4("mov"), Content.M4A),
        (mp4("adts"), Content.AAC),
        (zipped(), Content.ZIP),
        (b"PK\x05\x06" + bytes(18), Content.ZIP),
        (gzip.compress(b"trackID,title", mtime=0), Content.GZIP),
    ],
)
def test_content_is_told_by_the_first_bytes(data, content):
    assert sniff(data[:HEAD_BYTES]) is content
    assert content.is_audio == (content not in (Content.ZIP, Content.GZIP))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"R",
        b"RIFF\x00\x00\x00\x00AVI LIST",
        sound("AIFF"),
        sound("AU"),
        b"trackID,title,tags\n1,a,b\n",
        "\ufefftrackID;title".encode("utf-16"),
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\n",
        b"\x00\x00\x00\x18ftypheic" + bytes(50),
        b"\xff\xfe" + "trackID,title".encode("utf-16-le") * 20,
        b"\xff\xfb\x90\x64" + b"\xff" * 2000,
        b"\x89PNG\r\n\x1a\n" + bytes(50),
    ],
)
def test_what_is_neither_audio_nor_an_archive_is_unknown(data):
    assert sniff(data[:HEAD_BYTES]) is None


@given(
    st.binary(max_size=64), st.sampled_from([b"", b"ID3", b"\xff\xfb", b"\xff\xf1", b"RIFF", b"\x00\x00\x00\x10ftyp"])
)
def test_any_bytes_have_an_answer(data, prefix):
    assert sniff(prefix + data) in (None, *Content)


def test_sniffing_loads_nothing_heavy():
    script = "import sys, groovemark.ingest.sniff; print([m for m in ('numpy', 'groovemark.ml') if m in sys.modules])"
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
