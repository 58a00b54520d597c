"""Composers: pieces into works, MIDI into performances, performances into windows."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from tiny_midi import make_midi, needs_fluidsynth, write_collection

from groovemark.errors import ConfigurationError, InputRejected
from groovemark.ml.datasets import composer, rendering
from groovemark.ml.datasets.composer import Piece, chosen, performances, read_composer, read_pieces
from groovemark.ml.datasets.midi import change
from groovemark.ml.datasets.rendering import SOUNDFONT, Performance, rendered
from groovemark.ml.features.sets import COMPOSER_118


def piece(title: str, by: str = "Beethoven") -> Piece:
    return Piece(by, title, Path("/music/x.mid"))


def test_tempo_and_strength_change_and_nothing_else() -> None:
    midi = make_midi([60, 64, 67], [80, 120, 2])
    changed = change(midi, tempo=1.25, velocity=1.1)
    assert changed == make_midi([60, 64, 67], [88, 127, 2]).replace(b"\x01\x00\x60MTrk", b"\x01\x00\x78MTrk")
    assert change(midi, tempo=1, velocity=1) == midi
    assert change(midi, tempo=1, velocity=0.001) == make_midi([60, 64, 67], [1, 1, 1])


@pytest.mark.parametrize(
    "midi",
    [
        b"RIFF" + bytes(20),
        make_midi([60], [80]).replace(b"\x00\x60MTrk", b"\xe2\x28MTrk"),  # time counted in frames
        make_midi([60], [80])[:-6],
        make_midi([60], [80]).replace(b"\x00\xb0\x40", b"\x00\xf1\x40"),
    ],
)
def test_what_is_no_whole_midi_file_is_refused(midi: bytes) -> None:
    with pytest.raises(InputRejected, match="MIDI"):
        change(midi, tempo=1, velocity=1)


@pytest.mark.parametrize(
    "titles",
    [
        ["Sonata_No.14_C#_minor_Moonlight_Opus_27_2_1", "Sonata_No.14_C#_minor_Moonlight_Opus_27_2_3"],
        ["Sonata_No.11_A_major_KV_331_1", "Sonata_No.11_A_major_KV_331_3_Alla_Turca"],
        ["Piano_sonata_No.2_Bb_minor_Opus_35_1", "Piano_sonata_No.2_Bb_minor_Opus_35_4"],
        ["Sonata_C_major_Opus_1_1", "Sonata_C_major_Opus_1_4"],
        ["Sonatina_Opus_36_1_1", "Sonatina_Opus_36_1_3"],
        ["Piano_Sonata_in_C_major_Hoboken_XVI_7_1", "Piano_Sonata_in_C_major_Hoboken_XVI_7_2"],
        ["Piano_Sonata_in_D_major_D_850_Opus_53_1", "Piano_Sonata_in_D_major_D_850_Opus_53_4"],
        ["4_Impromptus_D_935_Opus_posth_142_1", "4_Impromptus_D_935_Opus_posth_142_4"],
        ["Etudes_Opus_10_1", "Etudes_Opus_10_12_Revolutionary"],
        ["Suite_bergamasque_Prelude", "Suite_bergamasque_Clair_de_Lune"],
        ["Children's_Corner_I._Doctor_Gradus_ad_Parnassum", "Children's_Corner_Golli's_cake_walk"],
    ],
)
def test_movements_and_pieces_published_together_are_one_work(titles: list[str]) -> None:
    assert len({piece(title).work for title in titles}) == 1


@pytest.mark.parametrize(
    "titles",
    [
        ["Sonata_No.8_C_minor_Opus_13_1", "Sonata_No.14_C#_minor_Moonlight_Opus_27_2_1"],
        ["Sonatina_Opus_36_1_1", "Sonatina_Opus_36_2_1"],
        ["Piano_Sonata_in_C_major_Hoboken_XVI_7_1", "Piano_Sonata_in_G_major_Hoboken_XVI_8_1"],
        ["Etudes_Opus_10_1", "Etudes_Opus_25_1_Harp_etude"],
        ["Suite_bergamasque_Prelude", "Children's_Corner_Jimbo's_Lullaby"],
    ],
)
def test_works_of_their_own_are_told_apart(titles: list[str]) -> None:
    assert len({piece(title).work for title in titles}) == len(titles)


def test_equal_opus_numbers_of_two_composers_are_two_works() -> None:
    assert piece("Etudes_Opus_10_1", "Chopin").work != piece("Sonata_Opus_10_1", "Brahms").work


def test_composer_of_too_few_pieces_or_of_a_single_work_is_left_out() -> None:
    enough = [piece(f"Sonata_No.{number % 3}_{number}", "Enough") for number in range(10)]
    few = [piece(f"Sonata_No.{number}", "Few") for number in range(9)]
    single = [piece(f"The_Seasons_Opus_37a_{number}", "Single") for number in range(12)]
    assert chosen([*enough, *few, *single]) == enough


def test_real_collection_has_fourteen_composers_whose_works_are_whole(data_folder: Path) -> None:
    pieces = chosen(read_pieces(data_folder / "midi"))
    counts = Counter(piece.composer for piece in pieces)
    assert len(counts) == 14
    assert min(counts.values()) >= 10
    assert not {"Christmas", "Bach", "Tchaikovsky"} & set(counts)
    works = defaultdict(set)
    for entry in pieces:
        # The file names know works too: mz_331_1, mz_331_2; chpn-p1, chpn-p2; elise.
        works[entry.composer, entry.path.stem.rstrip("0123456789").rstrip("_-")].add(entry.work)
    apart = {stem: names for stem, names in works.items() if len(names) > 1}
    assert {stem for _, stem in apart} <= {"chp_op", "chpn_op", "liz_et", "liz_rhap", "br_im"}, apart


def test_performances_of_a_piece_differ_and_are_always_the_same() -> None:
    first, second = performances(piece("For_Elise"))
    assert first != second
    assert [first, second] == performances(piece("For_Elise"))
    assert first != performances(piece("Sonata_No.8"))[0]


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    return write_collection(tmp_path, works=2)


@needs_fluidsynth
def test_every_performance_is_a_track_in_the_group_of_its_work(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(composer, "PIECES_LEAST", 2)
    dataset = read_composer(collection, COMPOSER_118)
    assert dataset.labels == ("High", "Low")
    assert dataset.n_tracks == 8
    assert dataset.ids[0] == "High/p_1/0"
    assert len(set(dataset.groups.tolist())) == 4
    assert len(np.unique(dataset.table.numbers, axis=0)) == len(dataset)
    monkeypatch.setenv("PATH", "")
    again = read_composer(collection, COMPOSER_118)  # from the cache: nothing is rendered
    np.testing.assert_array_equal(again.table.numbers, dataset.table.numbers)


@needs_fluidsynth
def test_another_soundfont_of_the_same_name_is_heard(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The features were kept under the soundfont's name, so that those of the one before were taken."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(composer, "PIECES_LEAST", 2)
    copy = tmp_path / SOUNDFONT.name
    shutil.copyfile(SOUNDFONT, copy)
    monkeypatch.setattr(rendering, "SOUNDFONT", copy)
    first = read_composer(collection, COMPOSER_118)
    copy.write_bytes(with_every_second_sample_lost(copy.read_bytes()))
    second = read_composer(collection, COMPOSER_118)
    assert not np.isclose(first.table.numbers, second.table.numbers).all(axis=1).any()


def with_every_second_sample_lost(soundfont: bytes) -> bytes:
    """The chunk `smpl` holds the instruments' sound in 16 bits (SoundFont 2.04, section 6)."""
    start = soundfont.index(b"smpl") + 8
    end = start + int.from_bytes(soundfont[start - 4 : start], "little")
    changed = bytearray(soundfont)
    changed[start:end:4] = changed[start + 1 : end : 4] = bytes(len(range(start, end, 4)))
    return bytes(changed)


@needs_fluidsynth
def test_rendering_ends_where_it_should_and_leaves_nothing() -> None:
    import soundfile

    midi = make_midi([60] * 20, [90] * 20)  # ten seconds
    sounds = []
    for _ in range(2):
        with rendered(midi, Performance(1, 1, 0.5, 0.2, 0.2), longest_s=1.5) as path:
            samples, rate = soundfile.read(path)
        assert (len(samples), rate) == (66_150, 44_100)
        assert 0.01 < np.abs(samples).max() < 1
        assert not path.parent.exists()
        sounds.append(samples)
    np.testing.assert_array_equal(*sounds)


def test_missing_program_is_said_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with (
        pytest.raises(ConfigurationError, match="apt-get install fluidsynth"),
        rendered(make_midi([60], [90]), Performance(1, 1, 0.5, 0.2, 0.2), longest_s=1),
    ):
        pass


def test_missing_soundfont_is_said_with_how_to_get_it(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(composer, "PIECES_LEAST", 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(rendering, "SOUNDFONT", tmp_path / "none.sf2")
    with pytest.raises(ConfigurationError, match=r"none\.sf2.*timgm6mb-soundfont"):
        read_composer(collection, COMPOSER_118)


def test_piece_that_the_table_names_and_the_folder_lacks_is_reported(collection: Path) -> None:
    (collection / "midi" / "midis" / "Low" / "p_2.mid").unlink()
    with pytest.raises(FileNotFoundError, match=r"P_2\.mid"):
        read_pieces(collection / "midi")
