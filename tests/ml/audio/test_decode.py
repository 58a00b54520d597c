from __future__ import annotations

import struct
import tracemalloc
import warnings

import files
import librosa
import numpy as np
import psutil
import pytest
from sounds import synthesize

from groovemark.errors import AudioRejected
from groovemark.ml.audio.decode import decode, mono_blocks, probe
from groovemark.ml.audio.sources import open_audio

RATE = 22_050


def noise(n_frames: int, channels: int) -> np.ndarray:
    return np.random.default_rng(5).uniform(-0.7, 0.7, (n_frames, channels))


def outcome(path, sample_rate: int = RATE) -> np.ndarray | str:
    """The samples, or the reason of the rejection."""
    try:
        return decode(path, sample_rate)
    except AudioRejected as error:
        return error.reason


@pytest.mark.parametrize("sample_rate", [8_000, 22_050, 44_100, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 3, 8])
@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_equals_librosa_load_bit_for_bit(tmp_path, suffix, channels, sample_rate):
    if suffix == "mp3" and (channels > 2 or sample_rate > 48_000):
        pytest.skip("MP3 has no such thing")
    path = files.write(tmp_path / f"clip.{suffix}", noise(sample_rate + 17, channels), sample_rate)
    expected, _ = librosa.load(path, sr=RATE)
    assert np.array_equal(decode(path, RATE), expected)


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [
        *(("wav", name) for name in ("PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW")),
        *(("flac", name) for name in ("PCM_S8", "PCM_24")),
    ],
)
def test_equals_librosa_load_whatever_the_samples_are_stored_as(tmp_path, suffix, subtype):
    path = files.write(tmp_path / f"clip.{suffix}", noise(50_000, 2), 44_100, subtype=subtype)
    assert np.array_equal(decode(path, RATE), librosa.load(path, sr=RATE)[0])


def test_opus_equals_librosa_load(tmp_path):
    path = files.write(tmp_path / "clip.ogg", noise(96_000, 2), 48_000, subtype="OPUS")
    assert np.array_equal(decode(path, RATE), librosa.load(path, sr=RATE)[0])


def test_a_long_file_streams_in_small_memory_and_still_equals_librosa_load(tmp_path):
    path = files.write(tmp_path / "long.flac", noise(44_100 * 60, 2), 44_100)
    tracemalloc.start()
    try:
        with open_audio(path) as audio:
            checksum = sum(float(np.abs(block).sum(dtype=np.float64)) for block in mono_blocks(audio, RATE))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    expected, _ = librosa.load(path, sr=RATE)
    assert peak < 0.4 * expected.nbytes
    assert checksum == pytest.approx(float(np.abs(expected).sum(dtype=np.float64)), rel=1e-9)
    assert np.array_equal(decode(path, RATE), expected)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_twenty_minutes_of_audio_are_never_held_at_once(tmp_path, suffix):
    """38 MB of 16-bit samples: neither our arrays nor the decoder's own memory may grow with them."""
    minute = (32_767 * noise(16_000 * 60, 1)).astype(np.int16)
    path = files.write(tmp_path / f"long.{suffix}", np.tile(minute, (20, 1)), 16_000)
    process, n_samples, held_bytes = psutil.Process(), 0, []
    tracemalloc.start()
    try:
        with open_audio(path) as audio:
            for block in mono_blocks(audio, 8_000):
                n_samples += len(block)
                held_bytes.append(process.memory_info().rss)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert n_samples == 20 * 60 * 8_000
    assert peak < 3e6
    assert max(held_bytes) - held_bytes[0] < 10e6


@pytest.mark.parametrize(("codec", "channels"), [("aac", 2), ("aac", 6), ("alac", 2)])
def test_the_channels_of_an_m4a_count_alike_in_the_mix(tmp_path, codec, channels):
    """A tone in one channel alone comes out at that channel's share of its amplitude."""
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(44_100 * 2) / 44_100)
    samples = np.zeros((len(tone), channels))
    samples[:, 0] = tone
    path = files.write_mp4(tmp_path / "clip.m4a", samples, 44_100, codec=codec)
    decoded = decode(path, RATE)[RATE // 2 : -RATE // 2]
    assert np.abs(decoded).max() == pytest.approx(0.5 / channels, rel=0.03)


@pytest.mark.parametrize(("codec", "suffix"), [("aac", "m4a"), ("alac", "m4a"), ("aac", "aac")])
@pytest.mark.parametrize("channels", [1, 2])
def test_m4a_and_aac_are_as_loud_as_what_was_encoded(tmp_path, codec, suffix, channels):
    """FFmpeg's own down-mix makes stereo louder by the root of two."""
    music = synthesize("music", 3.0, sample_rate=44_100)
    path = files.write_mp4(
        tmp_path / f"clip.{suffix}", np.repeat(music[:, None], channels, axis=1), 44_100, codec=codec
    )
    decoded, expected = decode(path, RATE), librosa.resample(music, orig_sr=44_100, target_sr=RATE)
    assert abs(len(decoded) - len(expected)) < 2_500
    assert decoded.std() == pytest.approx(expected.std(), rel=0.03)


def test_alac_gives_the_samples_back(tmp_path):
    music = synthesize("music", 2.0) / 2
    path = files.write_mp4(tmp_path / "clip.m4a", music[:, None], RATE, codec="alac")
    np.testing.assert_allclose(decode(path, RATE), music, atol=1 / 32_768)


def test_the_name_does_not_matter(tmp_path):
    wav = files.write(tmp_path / "clip.wav", noise(40_000, 1), RATE)
    expected = decode(wav, RATE)
    for name in ("clip", "clip.mp3", "clip.raw", "clip.m4a", "-i concat.wav"):
        assert np.array_equal(decode(wav.rename(tmp_path / name), RATE), expected)
        wav = tmp_path / name


@pytest.mark.parametrize("suffix", ["flac", "mp3", "ogg", "wav"])
def test_the_header_and_the_title_tag_are_told(tmp_path, suffix):
    path = files.write(tmp_path / f"x.{suffix}", noise(88_200, 2), 44_100, title="  Été\n à la plage ")
    info = probe(path)
    assert (info.sample_rate, info.channels, info.format) == (44_100, 2, suffix)
    assert info.duration_s == pytest.approx(2.0, abs=0.06)
    assert info.title == "Été à la plage"


def test_the_title_of_an_m4a_is_told_and_a_missing_one_is_none(tmp_path):
    tagged = files.write_mp4(tmp_path / "a.m4a", noise(44_100, 2), 44_100, title="Ténèbres")
    assert (probe(tagged).title, probe(tagged).format) == ("Ténèbres", "m4a")
    assert probe(files.write(tmp_path / "b.wav", noise(44_100, 1), 44_100)).title is None


def test_nine_channels_are_too_many_and_eight_are_not(tmp_path):
    assert outcome(files.write(tmp_path / "nine.wav", noise(30_000, 9), RATE)) == "too_many_channels"
    assert len(decode(files.write(tmp_path / "eight.wav", noise(30_000, 8), RATE), RATE)) == 30_000


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_less_than_half_a_second_is_too_short(tmp_path, suffix):
    assert outcome(files.write(tmp_path / f"short.{suffix}", noise(11_024, 1), RATE)) == "too_short"
    assert len(decode(files.write(tmp_path / f"enough.{suffix}", noise(11_025, 1), RATE), RATE)) == 11_025


@pytest.mark.parametrize(("rate", "length"), [(1, 3000), (999, 3000)])
def test_a_rate_below_a_kilohertz_is_refused_by_the_header(tmp_path, rate, length):
    """Six kilobytes at 1 Hz took 324 MB to resample; ten did not fit into the decoder and crashed it."""
    with pytest.raises(AudioRejected, match=f"sample rate is {rate} Hz"):
        probe(files.write(tmp_path / "slow.wav", noise(length, 1), rate))


def test_more_than_four_hours_are_too_long_by_the_header(tmp_path):
    path = files.write(tmp_path / "long.wav", noise(4 * 3600 * 1000 + 1000, 1), 1000)
    with pytest.raises(AudioRejected) as caught:
        probe(path)
    assert caught.value.reason == "too_long"


def test_more_than_four_hours_are_too_long_while_streaming_where_the_header_is_silent(tmp_path):
    path = files.write(tmp_path / "long.flac", noise(4 * 3600 * 1000 + 70_000, 1), 1000)
    data = bytearray(path.read_bytes())
    total_samples = struct.unpack(">Q", data[18:26])[0]
    data[18:26] = struct.pack(">Q", total_samples & ~((1 << 36) - 1))
    path.write_bytes(data)
    assert probe(path).duration_s is None
    assert outcome(path, 1000) == "too_long"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF",
        b"hello, world\n" * 500,
        b"#EXTM3U\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        b"#!AMR\n" + bytes(500),
        b"\x00\x00\x00\x20ftypM4A " + bytes(range(256)) * 20,
        b"\xff\xf1\x50\x80" + b"\x5a" * 5000,
        b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f",
        b"fLaC" + bytes(4000),
    ],
    ids=["empty", "riff", "text", "m3u", "concat", "amr", "mp4 junk", "adts junk", "endless id3", "flac junk"],
)
@pytest.mark.parametrize("name", ["x.wav", "x.m3u8"])
def test_what_is_no_audio_is_undecodable_whatever_its_name(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    assert outcome(tmp_path / name) in ("undecodable", "silent_stream")


def test_an_mp4_that_refers_to_another_file_does_not_bring_it_in(tmp_path):
    """The data reference of an mp4 may name a file; FFmpeg follows it only when told to."""
    secret = files.write(tmp_path / "secret.wav", noise(44_100, 1), 44_100)
    path = files.write_mp4(tmp_path / "x.m4a", noise(44_100, 1), 44_100)
    data = path.read_bytes()
    position = data.index(b"url \x00\x00\x00\x01")
    path.write_bytes(data[:position] + b"alis\x00\x00\x00\x00" + data[position + 8 :] + str(secret).encode())
    assert not np.array_equal(outcome(path), decode(secret, RATE))


@pytest.mark.parametrize(("format_name", "suffix"), [("AIFF", "aiff"), ("AU", "au"), ("CAF", "caf"), ("W64", "w64")])
def test_other_formats_of_the_decoder_are_not_let_in(tmp_path, format_name, suffix):
    path = files.write(tmp_path / f"clip.{suffix}", noise(40_000, 1), RATE, format=format_name)
    assert outcome(path) == "unsupported_media_type"


def test_a_video_without_sound_has_no_audio_stream(tmp_path):
    import av

    path = tmp_path / "film.mp4"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 16
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
        container.mux(stream.encode(None))
    assert outcome(path) == "silent_stream"


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "wav"])
def test_a_file_cut_short_gives_what_is_left_of_it(tmp_path, suffix):
    path = files.write(tmp_path / f"cut.{suffix}", noise(44_100 * 4, 2), 44_100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected, _ = librosa.load(path, sr=RATE)
    assert np.array_equal(decode(path, RATE), expected)
    assert len(expected) > RATE


@pytest.mark.parametrize("suffix", ["flac", "mp3", "ogg", "wav", "m4a", "aac"])
def test_damaged_files_end_in_samples_or_in_a_rejection_and_in_nothing_else(tmp_path, suffix):
    path = tmp_path / f"damaged.{suffix}"
    if suffix in ("m4a", "aac"):
        files.write_mp4(path, noise(44_100, 2), 44_100)
    else:
        files.write(path, noise(44_100, 2), 44_100)
    whole, random = path.read_bytes(), np.random.default_rng(11)
    for _ in range(15):
        data = bytearray(whole)
        for position in random.integers(0, len(data), 8):
            data[position] = random.integers(0, 256)
        path.write_bytes(data)
        assert isinstance(outcome(path), np.ndarray | str)
