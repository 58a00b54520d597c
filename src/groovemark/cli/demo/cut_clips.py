"""How the demo's clips were cut: `python -m groovemark.cli.demo.cut_clips FOLDER_OF_RECORDINGS`."""

from __future__ import annotations

import sys
from pathlib import Path

import soundfile

CLIP_S = 12
_CLIPS = {
    "hungarian-dance.ogg": ("Hungarian_Dance_number_5_-_Allegro_in_F_sharp_minor_(string_orchestra).ogg", 4),
    "lets-go-fishin.ogg": ("Karissa_Hobbs_-_Lets_Go_Fishin.ogg", 40),
    "vibe-ace.ogg": ("Kevin_MacLeod_-_Vibe_Ace.ogg", 20),
}
"""Name of the clip: recording, start in seconds."""


def cut(recording: Path, start_s: float, clip: Path) -> None:
    """Write CLIP_S seconds of a recording, mixed to mono, as Ogg Vorbis."""
    with soundfile.SoundFile(recording) as source:
        source.seek(int(start_s * source.samplerate))
        with soundfile.SoundFile(clip, "w", source.samplerate, 1, "VORBIS", format="OGG") as target:
            # A second at a time: libsndfile's Vorbis encoder keeps a whole write on the stack.
            for _ in range(CLIP_S):
                target.write(source.read(source.samplerate, always_2d=True).mean(axis=1))


if __name__ == "__main__":
    clips = Path(__file__).parent / "clips"
    clips.mkdir(exist_ok=True)
    for name, (recording, start_s) in _CLIPS.items():
        cut(Path(sys.argv[1]) / recording, start_s, clips / name)
