"""The feature sets groovemark knows, by name."""

from __future__ import annotations

from groovemark.ml.features.spec import AudioSource, Column, Encoding, FeatureSpec

SAMPLE_RATE = 22_050
_STFT: dict[str, float | int | str] = {"n_fft": 2048, "hop_length_samples": 512, "window": "hann"}


def _audio(**parameters: float | str) -> AudioSource:
    return AudioSource(sample_rate=SAMPLE_RATE, window_s=30.0, hop_s=30.0, parameters={**_STFT, **parameters})


ECHONEST_155 = FeatureSpec(
    name="echonest-155",
    title_required=True,
    columns=(
        Column("tags", "text"),
        Column("loudness", unit="dB"),
        Column("tempo", unit="bpm", minimum=0),
        Column("time_signature", "integer", minimum=0, maximum=7),
        Column("key", "integer", minimum=0, maximum=11),
        Column("mode", "integer", minimum=0, maximum=1),
        Column("duration", unit="s"),
        *(Column(f"vect_{number}") for number in range(1, 149)),
    ),
)
"""The table of the Echo Nest / Million Song Dataset; 157 columns with trackID and title."""

FMA_42 = FeatureSpec(
    name="fma-42",
    audio=_audio(n_mels=128, tempo="mean onset strength"),
    columns=(
        *(Column(f"mfcc_{number}", unit="dB") for number in range(1, 21)),
        Column("tempo", unit="bpm", minimum=0),
        *(Column(f"chroma_{number}", minimum=0) for number in range(1, 13)),
        Column("spectral_centroid", unit="Hz", minimum=0),
        *(Column(f"spectral_contrast_{number}", unit="dB") for number in range(1, 8)),
        Column("zcr", minimum=0, maximum=1),
    ),
)
"""Means over a clip, in the column order of the Free Music Archive's table."""


def _mean_and_variance(name: str, unit: str = "") -> tuple[Column, Column]:
    mean = Column(f"{name}_mean", unit=unit)
    return mean, Column(f"{name}_var", unit=f"{unit}²" if unit else "", minimum=0)


GTZAN_57 = FeatureSpec(
    name="gtzan-57",
    audio=_audio(n_mels=128, tempo="median onset strength"),
    columns=(
        *_mean_and_variance("chroma_stft"),
        *_mean_and_variance("rms"),
        *_mean_and_variance("spectral_centroid", "Hz"),
        *_mean_and_variance("spectral_bandwidth", "Hz"),
        *_mean_and_variance("rolloff", "Hz"),
        *_mean_and_variance("zero_crossing_rate"),
        *_mean_and_variance("harmony"),
        *_mean_and_variance("perceptr"),
        Column("tempo", unit="bpm", minimum=0),
        *(column for number in range(1, 21) for column in _mean_and_variance(f"mfcc{number}", "dB")),
    ),
)
"""Mean and variance over a clip, in the GTZAN table's order, without file name, length and label."""


def _mean_and_deviation(name: str, unit: str = "") -> tuple[Column, Column]:
    return Column(f"{name}_mean", unit=unit), Column(f"{name}_std", unit=unit, minimum=0)


def _mfcc_statistics(number: int) -> tuple[Column, ...]:
    name = f"mfcc_{number}"
    return *_mean_and_deviation(name, "dB"), Column(f"{name}_max", unit="dB"), Column(f"{name}_min", unit="dB")


COMPOSER_118 = FeatureSpec(
    name="composer-118",
    audio=_audio(
        n_mels=128,
        tempo="median onset strength",
        onsets="mean onset strength",
        tonnetz="constant-Q chroma, 7 octaves of 36 bins from C1",
    ),
    columns=(
        *(column for number in range(13) for column in _mfcc_statistics(number)),
        *_mean_and_deviation("spectral_centroid", "Hz"),
        *_mean_and_deviation("spectral_rolloff", "Hz"),
        *_mean_and_deviation("spectral_bandwidth", "Hz"),
        *_mean_and_deviation("zcr"),
        Column("harmonic_percussive_ratio", minimum=0),
        Column("tempo", unit="bpm", minimum=0),
        Column("beat_consistency", unit="s", minimum=0),
        *(column for number in range(12) for column in _mean_and_deviation(f"chroma_{number}")),
        *(column for number in range(6) for column in _mean_and_deviation(f"tonnetz_{number}")),
        *_mean_and_deviation("rms"),
        Column("rms_max", minimum=0),
        Column("dynamic_range", minimum=0),
        Column("onset_rate", unit="1/s", minimum=0),
        *(column for number in range(7) for column in _mean_and_deviation(f"spectral_contrast_{number}", "dB")),
    ),
)
"""What tells composers apart: as gtzan-57, with tonal centroids, beats, onsets and the range of loudness; deviations in
place of variances."""

MFCC_SEGMENTS = FeatureSpec(
    name="mfcc-segments",
    columns=(),
    audio=AudioSource(
        sample_rate=SAMPLE_RATE, window_s=3.0, hop_s=3.0, shortest_window_s=3.0, parameters={**_STFT, "n_mels": 128}
    ),
    shape=(130, 13),
    unit="dB",
)
"""13 MFCC of every frame of each 3 seconds, as convolutional networks take them; a shorter track is filled with
silence."""

LOG_MEL = FeatureSpec(
    name="log-mel",
    columns=(),
    audio=AudioSource(
        sample_rate=16_000,
        window_s=3.0,
        hop_s=3.0,
        shortest_window_s=3.0,
        parameters={
            "n_fft": 512,
            "hop_length_samples": 256,
            "window": "hann",
            "n_mels": 96,
            "log": "log10(10000x + 1)",
        },
    ),
    shape=(187, 96),
)
"""The compressed mel spectrogram that MusiCNN takes (Pons & Serra 2019), a patch of 187 frames every 3 seconds."""

MUSICNN_WEIGHTS_SHA256 = "d3a49e102f235e75dc800a2ed65f04b6923ab25cda4d01d1f5d604451121f673"
"""Of MSD_musicnn in the PyPI package musicnn 0.1.0."""


def _of_musicnn(width: int, layer: str) -> FeatureSpec:
    return FeatureSpec(
        name=f"musicnn-{width}",
        columns=(),
        shape=(width,),
        encoding=Encoding(
            encoder="musicnn",
            layer=layer,
            takes=LOG_MEL.name,
            takes_sha256=LOG_MEL.sha256,
            weights_sha256=MUSICNN_WEIGHTS_SHA256,
        ),
    )


MUSICNN_200 = _of_musicnn(200, "penultimate")
"""What MusiCNN has made of each 3 seconds right before it names tags."""

MUSICNN_753 = _of_musicnn(753, "mean_pool")
"""What MusiCNN hears in each 3 seconds: the mean over time of its 753 channels."""

_FBANK: dict[str, float | int | str] = {
    "frame_samples": 400,
    "hop_length_samples": 160,
    "n_fft": 512,
    "n_mels": 128,
    "window": "hann",
}

AST_FBANK = FeatureSpec(
    name="ast-fbank",
    columns=(),
    audio=AudioSource(
        sample_rate=16_000,
        window_s=10.24,
        hop_s=10.24,
        shortest_window_s=5.0,
        parameters=_FBANK,
    ),
    shape=(1024, 128),
)
"""Kaldi's filterbank, normalised by AudioSet's mean and deviation, as the Audio Spectrogram Transformer takes it."""

AST_FBANK_3S = FeatureSpec(
    name="ast-fbank-3s",
    columns=(),
    audio=AudioSource(
        sample_rate=16_000,
        window_s=3.0,
        hop_s=3.0,
        shortest_window_s=1.5,
        parameters={**_FBANK, "shorter": "repeated"},
    ),
    shape=(298, 128),
)
"""The same for windows of 3 seconds; a shorter one is repeated, not filled, so that no network learns lengths."""

WAVEFORM_10S = FeatureSpec(
    name="waveform-10s",
    columns=(),
    audio=AudioSource(
        sample_rate=16_000,
        window_s=10.0,
        hop_s=10.0,
        shortest_window_s=5.0,
        parameters={"shorter": "repeated"},
    ),
    shape=(160_000,),
)
"""The samples themselves, as networks take them that learn from waveforms: HuBERT, wav2vec 2.0 and WavLM.

10 s are what classifiers of music are mostly fine-tuned on, or a third of it, and attention over a window costs the
square of its length. A shorter window is repeated: filled with silence, its mean over time would be that of silence.
"""

FEATURE_SETS = {
    spec.name: spec
    for spec in (
        ECHONEST_155,
        FMA_42,
        GTZAN_57,
        COMPOSER_118,
        MFCC_SEGMENTS,
        LOG_MEL,
        AST_FBANK,
        AST_FBANK_3S,
        WAVEFORM_10S,
        MUSICNN_200,
        MUSICNN_753,
    )
}
