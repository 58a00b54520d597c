"""The guard without which each attack must succeed."""

from __future__ import annotations

from tests.guards.guard import SOURCE, Guard, Piece

SMALL_BODY = "                if len(body) > BODY_BYTES_MAX:\n"
REACHABLE = "        if not all(is_reachable(address, self._allowed) for address in addresses):\n"

GUARDS = (
    Guard(
        "S5",
        "audio may last so long",
        Piece(f"{SOURCE}ml/audio/decode.py", "LONGEST_S = 4 * 3600.0", "LONGEST_S = 4 * 3600e6"),
    ),
    Guard(
        "S6",
        "paths of a zip stay inside",
        Piece(f"{SOURCE}ingest/archive.py", "        _refuse_unsafe(entry)\n", "        pass\n"),
    ),
    Guard(
        "S7",
        "browsers are told not to guess",
        Piece(f"{SOURCE}cli/server.py", '        headers=[("X-Content-Type-Options", "nosniff")],\n'),
    ),
    Guard(
        "S8",
        "one file's rejection is kept apart from its neighbours",
        Piece(
            f"{SOURCE}ml/features/file_extractor.py",
            "        except AudioRejected as error:\n            return error",
            "        except ZeroDivisionError as error:\n            return error",
        ),
    ),
    Guard(
        "S9",
        "FFmpeg is handed bytes and a format, and no name",
        Piece(
            f"{SOURCE}ml/audio/sources.py", "if demuxer else SndFile(file)", "if demuxer else Container(file, 'mov')"
        ),
        behind=(
            Piece(
                f"{SOURCE}ml/audio/sources.py",
                'av.open(file, format=demuxer, options=_NO_PROTOCOL, metadata_errors="replace")',
                'av.open(str(file.name), metadata_errors="replace")',
            ),
        ),
        is_long=True,
    ),
    Guard(
        "S10", "a body without files is small", Piece(f"{SOURCE}bodies.py", SMALL_BODY, "                if False:\n")
    ),
    Guard(
        "S11",
        "a form has so many parts",
        Piece(
            f"{SOURCE}ingest/uploads.py",
            "        if self._parts > self._limits.audio_files_max + _OTHER_PARTS_MAX:\n",
            "        if False:\n",
        ),
        behind=(
            Piece(
                f"{SOURCE}ingest/uploads.py",
                'sum(file.field == "files" for file in self._files) > self._limits.audio_files_max:',
                "False:",
            ),
        ),
    ),
    Guard(
        "S12",
        "a body without files is small",
        Piece(f"{SOURCE}bodies.py", SMALL_BODY, "                if False:\n"),
        is_long=True,
    ),
    Guard(
        "S13",
        "no connection to the database is held while a body comes",
        Piece(
            f"{SOURCE}idempotency.py",
            "        return await _carry_out(request, services, claimed, handle, takes_form=takes_form)\n",
            "        async with services.database.transaction() as held:\n"
            "            await keys.prolong(held, claimed, hold_s=HOLD_S)\n"
            "            return await _carry_out(request, services, claimed, handle, takes_form=takes_form)\n",
        ),
    ),
    Guard("S16", "addresses are checked", Piece(f"{SOURCE}ingest/guarded.py", REACHABLE, "        if False:\n")),
    Guard(
        "S17",
        "the address that was checked is the one that is called",
        Piece(f"{SOURCE}ingest/guarded.py", "connect_tcp(str(address), port,", "connect_tcp(host, port,"),
    ),
    Guard("S18", "addresses are checked", Piece(f"{SOURCE}ingest/guarded.py", REACHABLE, "        if False:\n")),
    Guard(
        "S19",
        "a file to fetch has so many bytes",
        Piece(f"{SOURCE}ingest/guarded.py", "        if received > limits.bytes_max:\n", "        if False:\n"),
    ),
)
