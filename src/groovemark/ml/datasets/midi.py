"""Playing a MIDI file faster, slower, louder or softer, by changing its bytes."""

from __future__ import annotations

from collections.abc import Iterator

from groovemark.errors import InputRejected

_NOTE_ON = 0x90
_SYSTEM_EXCLUSIVE = (0xF0, 0xF7)
_META = 0xFF
_DATA_BYTES = {0x80: 2, 0x90: 2, 0xA0: 2, 0xB0: 2, 0xC0: 1, 0xD0: 1, 0xE0: 2}
_DIVISION_AT = 12
_FRAMES = 0x8000


def change(midi: bytes, *, tempo: float, velocity: float) -> bytes:
    """The same piece, `tempo` times as fast, each key struck with `velocity` times its strength.

    Tempo is changed through the number of ticks in a quarter note, so that every change of tempo within the piece
    keeps its proportion; strength stays within 1 to 127.

    Raises InputRejected for what is no standard MIDI file whose time is counted in ticks a quarter note.
    """
    changed = bytearray(midi)
    ticks = int.from_bytes(midi[_DIVISION_AT : _DIVISION_AT + 2], "big")
    if midi[:4] != b"MThd" or not 0 < ticks < _FRAMES:
        raise InputRejected("this is no MIDI file whose time is counted in ticks a quarter note")
    changed[_DIVISION_AT : _DIVISION_AT + 2] = min(round(ticks * tempo), _FRAMES - 1).to_bytes(2, "big")
    try:
        for place in _strengths(midi):
            if midi[place]:  # a note of strength 0 is the end of a note
                changed[place] = min(max(round(midi[place] * velocity), 1), 127)
    except (IndexError, KeyError) as error:
        raise InputRejected("the MIDI file breaks off, or holds what no MIDI file may") from error
    return bytes(changed)


def _strengths(midi: bytes) -> Iterator[int]:
    """Where the strengths of all notes stand."""
    place = 8 + int.from_bytes(midi[4:8], "big")
    while place < len(midi):
        size = int.from_bytes(midi[place + 4 : place + 8], "big")
        if midi[place : place + 4] == b"MTrk":
            yield from _strengths_of_track(midi, place + 8, place + 8 + size)
        place += 8 + size


def _strengths_of_track(midi: bytes, place: int, end: int) -> Iterator[int]:
    """Standard MIDI Files 1.0: a time, then an event; a status that is left out is the one before."""
    status = 0
    while place < end:
        _, place = _number(midi, place)
        if midi[place] & 0x80:
            status = midi[place]
            place += 1
        if status == _META:
            size, place = _number(midi, place + 1)
            place += size
        elif status in _SYSTEM_EXCLUSIVE:
            size, place = _number(midi, place)
            place += size
        else:
            if status & 0xF0 == _NOTE_ON:
                yield place + 1
            place += _DATA_BYTES[status & 0xF0]


def _number(midi: bytes, place: int) -> tuple[int, int]:
    """A number of variable length, seven bits a byte, and where it ends."""
    value = 0
    while True:
        byte = midi[place]
        value, place = value << 7 | byte & 0x7F, place + 1
        if not byte & 0x80:
            return value, place
