"""The strict CSV reader against a slow reading that is plainly right, and against everything people upload."""

from __future__ import annotations

import codecs
import gzip
import math
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import reference
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tables import HEADER, PLAIN, SPEC, table

from groovemark.errors import FileTypeRejected, InputRejected, TooLarge
from groovemark.ingest import encoding
from groovemark.ingest.csv import Block, CsvLimits
from groovemark.ingest.header import read_header
from groovemark.ingest.rows import RowReader
from groovemark.ml.features.spec import Column, FeatureSpec


def merge(blocks: list[Block]) -> reference.Reading:
    reading = reference.Reading()
    for block in blocks:
        cells_of = [block.features.texts[name] for name in block.features.spec.text_names]
        texts = list(zip(*cells_of, strict=True)) or [()] * len(block.lines)
        assert len(block.lines) == len(block.external_ids) == len(block.titles) == len(block.features)
        reading.missing += block.rows_missing
        reading.faults += [(fault.line or 0, fault.column, fault.code) for fault in block.faults]
        reading.rows += [
            (line, external_id, title, row, list(cells))
            for line, external_id, title, row, cells in zip(
                block.lines.tolist(),
                block.external_ids,
                block.titles,
                block.features.numbers.tolist(),
                texts,
                strict=True,
            )
        ]
    return reading


def read_text(text: str, spec: FeatureSpec = SPEC, *, piece_bytes: int = 1 << 20, **limits: int) -> reference.Reading:
    """Through the row reader alone, in pieces of any size."""
    data = text.encode()
    header = read_header(text, ",", columns_max=10_000)
    reader = RowReader(spec, header, limits=CsvLimits(**limits), progress=encoding.Progress())
    pieces = [data[start : start + piece_bytes] for start in range(0, len(data), piece_bytes)]
    return merge(list(reader.read(pieces)))


def bits(reading: reference.Reading) -> list[bytes]:
    return [struct.pack(f"{len(row[3])}d", *row[3]) for row in reading.rows]


CELLS = st.one_of(
    st.sampled_from(
        """0|-0|1|5.0|5.5|007|+1| 1|1 |.5|5.|.|-|+|1e3|1E-3|1e|1e+|e5|--1|1-|1_000|0x10|1,5|１|٣|1e400|-1e400|1e-400
|4.9e-324|2.2250738585072011e-308|1.7976931348623157e308|inf|-Infinity|nan|NaN|-nan|+NAN|nan(1)|NA|None|null|true
|9223372036854775807|9223372036854775808|-1|12|11|9007199254740993|0.1000000000000000055511151231257827
|123456789012345678901234567890|0.000000000000000000000000000001|fast| |  |\t1|a\0b|\0|é|"|""|"a|a"b|a""|\ufeff|日本
|1.00000000000000011102230246251565404|8.98846567431158e307|5e-324|1e22|1e23|-1e-23|00000000000000000000001.5""".replace(
            "\n", ""
        ).split("|")
    ),
    st.floats().map(repr),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: f"{value:.25g}"),
    st.integers(-(10**20), 10**20).map(str),
    st.text(max_size=6),
    st.text('01.e-+ ,"\n\r;', max_size=5),
    st.just(""),
)
GOOD = {
    "trackID": "1", "title": "t", "tags": "x, y", "tempo": "120.5", "key": "3", "level": "-1.25", "extra": "",
}  # fmt: skip


@st.composite
def csv_texts(draw: st.DrawFn) -> str:
    names = draw(st.permutations(list(GOOD)))
    line_end = draw(st.sampled_from(["\n", "\r\n", "\r"]))

    def write(cell: str) -> str:
        quote = draw(st.booleans()) or any(character in cell for character in ',"\r\n')
        return '"' + cell.replace('"', '""') + '"' if quote else cell

    lines = [",".join(names)]
    for _ in range(draw(st.integers(0, 6))):
        changed = draw(st.dictionaries(st.sampled_from(names), CELLS, max_size=3))
        lines.append(",".join(write(changed.get(name, GOOD[name])) for name in names))
    return line_end.join(lines) + draw(st.sampled_from(["", line_end]))


@settings(max_examples=400, deadline=None)
@given(csv_texts(), st.integers(1, 40), st.integers(1, 5))
def test_reads_what_the_row_wise_reference_reads(text: str, piece_bytes: int, block_rows: int) -> None:
    text = text.encode("utf-8", "ignore").decode()
    ours = read_text(text, piece_bytes=piece_bytes, block_rows=block_rows)
    slow = reference.read(text, SPEC)
    assert slow is not None
    assert ours == slow
    assert bits(ours) == bits(slow)


@settings(max_examples=400, deadline=None)
@given(st.text('a1.,"\n\r', max_size=40), st.integers(1, 9))
@example('x,"a\r\n""b"c,"\n2,3,4', 3)
@example('"', 1)
@example("\r", 1)
def test_splits_rows_and_counts_lines_as_the_csv_module_does(body: str, piece_bytes: int) -> None:
    spec = FeatureSpec("words", (Column("b", "text"),))
    text = "track_id,b\n" + body
    rows = reference.split(text)
    if rows is None:
        with pytest.raises(InputRejected, match="never closed"):
            read_text(text, spec, piece_bytes=piece_bytes)
    else:
        assert read_text(text, spec, piece_bytes=piece_bytes) == reference.read(text, spec)


@settings(max_examples=300, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(1, 40))
def test_numbers_are_exactly_pythons_floats(value: float, digits: int) -> None:
    cells = [repr(value), f"{value:.{digits}g}", f"{value:.{digits}e}", f"{value:.{digits}f}"]
    finite = [cell for cell in cells if math.isfinite(float(cell))]
    reading = read_text("trackID,level\n" + "".join(f"1,{cell}\n" for cell in finite), PLAIN)
    assert bits(reading) == [struct.pack("d", float(cell)) for cell in finite]


def test_random_decimals_are_exactly_pythons_floats() -> None:
    random.seed(7)
    cells = [f"{random.randrange(10 ** random.randint(1, 19))}e{random.randint(-340, 300)}" for _ in range(20_000)]
    cells += [repr(struct.unpack("d", random.randbytes(8))[0]) for _ in range(20_000)]
    finite = [cell for cell in cells if math.isfinite(float(cell))]
    reading = read_text("trackID,level\n" + "".join(f"1,{cell}\n" for cell in finite), PLAIN)
    assert np.array_equal([row[3][0] for row in reading.rows], [float(cell) for cell in finite])


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("1_000", "not_a_number"),
        ("0x10", "not_a_number"),
        ('"1,5"', "not_a_number"),
        ("１", "not_a_number"),
        (" ", "not_a_number"),
        ("1e400", "infinite"),
        ("inf", "infinite"),
        ("a\0", "nul"),
        ("9" * 70_000, "too_long"),
        ("0." + "0" * 70_000 + "1", "too_long"),
        (" 1", 1.0),
        ("+1", 1.0),
        ("1e3", 1000.0),
        ("1e-400", 0.0),
        ("nan", None),
        ('""', None),
    ],
)
def test_odd_numbers_are_decided(cell: str, expected: str | float | None) -> None:
    reading = read_text(f"trackID,level\n1,{cell}\n", PLAIN)
    if expected is None:
        assert (reading.rows, reading.missing, reading.faults) == ([], 1, [])
    elif isinstance(expected, str):
        assert (reading.rows, reading.missing, reading.faults) == ([], 0, [(2, "level", expected)])
    else:
        assert [row[3] for row in reading.rows] == [[expected]]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("007", "7"),
        ("5.0", "5"),
        ("0", "0"),
        ("+5", "5"),
        (" 5", "5"),
        ("9223372036854775807", "9223372036854775807"),
        ("9007199254740993", "9007199254740993"),
    ],
)
def test_track_ids_are_stored_in_canonical_form(cell: str, expected: str) -> None:
    assert [row[1] for row in read_text(f"trackID,level\n{cell},1\n", PLAIN).rows] == [expected]


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("5.5", "fractional"),
        ("5.00000000000000000000000001", "fractional"),
        ("9223372036854775808", "oversized"),
        ("1" * 400, "oversized"),
        ("-1", "out_of_range"),
        ("1e3", "not_an_integer"),
        ("inf", "infinite"),
        ("x1", "not_a_number"),
    ],
)
def test_track_ids_that_are_no_63_bit_integers_are_reported(cell: str, code: str) -> None:
    assert read_text(f"trackID,level\n{cell},1\n", PLAIN).faults == [(2, "trackID", code)]


def test_track_id_as_text_is_kept_as_written() -> None:
    ids = ["007", " a ", "é" * 255, "5.0", "NA"]
    reading = read_text("track_id,level\n" + "".join(f"{name},1\n" for name in ids), PLAIN)
    assert [row[1] for row in reading.rows] == ids
    assert [row[2] for row in reading.rows] == ids, "the title defaults to the id"
    assert read_text("track_id,level\n" + "x" * 256 + ",1\n", PLAIN).faults == [(2, "track_id", "too_long")]


def test_trackid_counts_where_both_id_columns_are_there() -> None:
    reading = read_text("track_id,level,trackID\n,1,07\n", PLAIN)
    assert [row[1] for row in reading.rows] == ["7"]


def test_words_for_nothing_are_titles() -> None:
    reading = read_text(HEADER + "".join(f"1,{word},t,1,1,1\n" for word in ("NA", "None", "null", "nan")))
    assert [row[2] for row in reading.rows] == ["NA", "None", "null", "nan"]


def test_a_row_with_a_missing_value_is_dropped_and_counted_whatever_else_it_holds() -> None:
    reading = read_text(HEADER + "1,,t,1,1,1\n2,a,t,,fast,1\n3,a,t,NaN,1,1\n,a,t,1,1,1\n4,a,t,1,1,1\n")
    assert (len(reading.rows), reading.missing, reading.faults) == (1, 4, [])


def test_every_bad_cell_of_a_row_is_reported_with_its_physical_line() -> None:
    reading = read_text(HEADER + '1,"two\nlines",t,1,1,1\n\n2,a,t,fast,12,inf\n')
    assert reading.rows[0][2] == "two\nlines"
    assert reading.faults == [
        (5, "tempo", "not_a_number"),
        (5, "key", "out_of_range"),
        (5, "level", "infinite"),
    ]


def test_short_and_long_rows_are_reported_and_not_shifted() -> None:
    reading = read_text(HEADER + "1,a,t,1,1\n2,a,t,1,1,1,9\n3,a,t,1,1,1\n")
    assert reading.faults == [(2, None, "wrong_field_count"), (3, None, "wrong_field_count")]
    assert [row[1] for row in reading.rows] == ["3"]


def test_extra_columns_are_ignored_even_when_empty_or_malformed() -> None:
    reading = read_text('a,trackID,b,level,a\n,1,\0,2,"x"y"\nnan,2,,3,' + "z" * 200_000 + "\n", PLAIN)
    assert [row[3] for row in reading.rows] == [[2.0], [3.0]]


def test_title_length_counts_characters_not_bytes() -> None:
    reading = read_text(HEADER + f"1,{'é' * 1024},t,1,1,1\n2,{'é' * 1025},t,1,1,1\n")
    assert [row[1] for row in reading.rows] == ["1"]
    assert reading.faults == [(3, "title", "too_long")]


def test_a_message_shows_no_more_than_64_characters_of_a_cell(tmp_path: Path) -> None:
    (block,) = table(tmp_path / "x.csv", f"trackID,level\n1,{'secret' * 1000}\n", PLAIN).blocks()
    assert len(block.faults[0].message) < 100


GOOD_ROW = "1,Öl,t,1,2,3\n"


@pytest.mark.parametrize(
    "content",
    [
        (HEADER + GOOD_ROW).encode(),
        codecs.BOM_UTF8 + (HEADER + GOOD_ROW).encode(),
        (HEADER + GOOD_ROW).encode("utf-16"),
        codecs.BOM_UTF16_BE + (HEADER + GOOD_ROW).encode("utf-16-be"),
        (HEADER + GOOD_ROW).replace(",", ";").encode(),
        gzip.compress((HEADER + GOOD_ROW).encode(), mtime=0),
        gzip.compress((HEADER + GOOD_ROW).encode("utf-16"), mtime=0),
        (HEADER + GOOD_ROW).replace("\n", "\r\n").encode(),
        (HEADER + GOOD_ROW).strip().encode(),
        ("\n\n" + HEADER + GOOD_ROW).encode(),
    ],
)
@pytest.mark.parametrize("piece_bytes", [4, 5, 1 << 20])
def test_encodings_and_separators(
    tmp_path: Path, content: bytes, piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "PIECE_BYTES", piece_bytes)
    reading = merge(list(table(tmp_path / "x.csv", content).blocks()))
    assert [row[1:] for row in reading.rows] == [("1", "Öl", [1.0, 2.0, 3.0], ["t"])]


@pytest.mark.parametrize("piece_bytes", [5, 1 << 20])
def test_undecodable_bytes_are_named_by_offset_and_line(
    tmp_path: Path, piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "PIECE_BYTES", piece_bytes)
    content = (HEADER + "1,é,t,1,1,1\r\n2,").encode() + b"\xd6l,t,1,1,1\n"
    with pytest.raises(FileTypeRejected, match=rf"Byte {content.index(0xD6)} \(line 3\) is not UTF-8"):
        list(table(tmp_path / "x.csv", content).blocks())


@pytest.mark.parametrize(
    "content",
    [
        (HEADER + GOOD_ROW).encode("utf-16")[:-1],
        (HEADER + GOOD_ROW).encode("utf-32"),
        gzip.compress(HEADER.encode() * 100, mtime=0)[:-20],
        gzip.compress(gzip.compress(HEADER.encode(), mtime=0), mtime=0),
    ],
)
def test_cut_or_unknown_encodings_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(FileTypeRejected):
        list(table(tmp_path / "x.csv", content).blocks())


def test_a_gzip_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    content = gzip.compress((HEADER + GOOD_ROW * 100_000).encode())
    with pytest.raises(TooLarge, match="larger than 100,000 bytes"):
        list(table(tmp_path / "x.csv", content, size_bytes=100_000).blocks())


def test_more_rows_than_allowed_are_refused(tmp_path: Path) -> None:
    assert len(merge(list(table(tmp_path / "x.csv", HEADER + GOOD_ROW * 5, rows=5).blocks())).rows) == 5
    with pytest.raises(TooLarge, match="more than 5 rows"):
        list(table(tmp_path / "x.csv", HEADER + GOOD_ROW * 6, rows=5).blocks())


@pytest.mark.parametrize("content", [HEADER, HEADER.strip(), HEADER + "\n\r\n"])
def test_a_header_alone_has_no_rows(tmp_path: Path, content: str) -> None:
    assert list(table(tmp_path / "x.csv", content).blocks()) == []


@pytest.mark.parametrize("content", ["", "\n\n", codecs.BOM_UTF8])
def test_an_empty_file_is_refused(tmp_path: Path, content: str | bytes) -> None:
    with pytest.raises(InputRejected, match="empty"):
        table(tmp_path / "x.csv", content)


def test_a_quote_that_is_never_closed_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(InputRejected, match="line 3") as caught:
        list(table(tmp_path / "x.csv", HEADER + GOOD_ROW + '2,"oops,t,1,1,1\n' + GOOD_ROW).blocks())
    assert caught.value.faults[0].code == "unclosed_quote"


@pytest.mark.parametrize("row", ['2,"' + "x" * 100_000, "2," + "x" * 100_000, "2,a\n2" + "," * 100_000 + "\n"])
def test_a_row_without_end_stops_at_the_limit(tmp_path: Path, row: str) -> None:
    with pytest.raises(InputRejected, match="longer than 50,000 bytes"):
        list(table(tmp_path / "x.csv", HEADER + row, row_bytes=50_000).blocks())


def test_faults_name_the_track_wherever_its_id_could_be_read(tmp_path: Path) -> None:
    """Failed rows had no id, although only another cell of theirs was bad."""
    rows = "007,a,t,fast,12,1\n5.5,a,t,1,1,inf\n8,a,t,1\n"
    (block,) = table(tmp_path / "x.csv", HEADER + rows).blocks()
    assert [(fault.line, fault.column, fault.item) for fault in block.faults] == [
        (2, "tempo", "7"),
        (2, "key", "7"),
        (3, "trackID", None),
        (3, "level", None),
        (4, None, None),
    ]
    (block,) = table(tmp_path / "x.csv", "track_id,level\n007,fast\n", PLAIN).blocks()
    assert [fault.item for fault in block.faults] == ["007"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_blocks_tell_how_much_of_the_stored_file_is_read(
    tmp_path: Path, pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "PIECE_BYTES", 1 << 20)
    generator = np.random.default_rng(0)
    rows = "".join(f"{row},{value!r}\n" for row, value in enumerate(generator.random(200_000).tolist()))
    content = pack(f"trackID,level\n{rows}".encode())
    fractions = [block.fraction_read for block in table(tmp_path / "x.csv", content, PLAIN).blocks()]
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] < 0.5
    assert len(set(fractions)) > 3
    assert fractions[-1] == 1


def test_a_file_of_bad_rows_holds_few_faults_at_once(tmp_path: Path) -> None:
    blocks = list(table(tmp_path / "x.csv", HEADER + "x,a,t,x,x,x\n" * 3000).blocks())
    assert max(len(block.faults) for block in blocks) <= 4 * 500
    assert [fault.line for block in blocks for fault in block.faults] == [
        line for line in range(2, 3002) for _ in range(4)
    ]
    assert sum(block.rows_read for block in blocks) == 3000
