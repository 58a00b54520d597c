"""The features' loops over one track, compiled: what functional.py says in tensors, said in one pass.

Only where a pass over memory is what costs. Axes as in functional.py, without the batch; float32, contiguous.
Each function here has its formula, source and errors in the function of functional.py, rhythm.py or tuning.py that it
stands in for, and is tested against it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.compiling import compiled, compiled_for_extremes, compiled_for_sums
from groovemark.ml.features.median import down_columns, margins, medians_of_row
from groovemark.ml.features.network import OUTPUTS_AT_ONCE, build_middle, build_ranking
from groovemark.ml.features.vectors import LANES, network_step

Array = NDArray[np.float32]

TINY = np.float32(np.finfo(np.float32).tiny)
_ZERO, _HALF, _ALMOST_ZERO = np.float32(0.0), np.float32(0.5), np.float32(-1e-10)
_BLOCK = 32

MEDIAN_BANDS = 128
"""The one number of mel bands whose median is compiled."""

EXTREME_BINS = 9
"""At most so many bins make a peak or a valley of a band."""

_BINS_AT_ONCE = 8

_rank_one, _rank_eight = (network_step(build_ranking(new, EXTREME_BINS)) for new in (1, _BINS_AT_ONCE))
_middle_two = network_step(build_middle(MEDIAN_BANDS))


@compiled
def cut_frames(waveform: Array, window: Array, hop: int, frames: Array) -> None:
    """Windowed, centred frames; beyond its ends the waveform is zero. Into frames: (frame, n_fft)."""
    n_frames, n_fft = frames.shape
    n_samples = len(waveform)
    for frame in range(n_frames):
        start = frame * hop - n_fft // 2
        first, last = max(0, -start), min(n_fft, n_samples - start)
        target = frames[frame]
        target[:first] = _ZERO
        target[max(first, last) :] = _ZERO
        excerpt = waveform[start + first : start + last]
        inside, weights = target[first:last], window[first:last]
        for sample in range(len(excerpt)):
            inside[sample] = excerpt[sample] * weights[sample]


@compiled
def magnitude_and_power(parts: Array, magnitude: Array, power: Array) -> None:
    """|X| and |X|² of real and imaginary parts in turn: (frame, 2 · frequency) → (frame, frequency)."""
    for frame in range(len(parts)):
        spectrum, squares, roots = parts[frame], power[frame], magnitude[frame]
        for k in range(power.shape[1]):
            real, imaginary = spectrum[2 * k], spectrum[2 * k + 1]
            square = real * real + imaginary * imaginary
            squares[k] = square
            roots[k] = np.sqrt(square)


@compiled_for_sums
def shape_of_spectra(magnitude: Array, frequencies: Array, share: float) -> tuple[Array, Array, Array]:
    """Centroid, bandwidth and rolloff in Hz of each frame."""
    n_frames, n_bins = magnitude.shape
    centroid, bandwidth = np.empty(n_frames, np.float32), np.empty(n_frames, np.float32)
    rolloff = np.empty(n_frames, np.float32)
    for frame in range(n_frames):
        spectrum = magnitude[frame]
        total, moment = 0.0, _ZERO
        for k in range(n_bins):
            total += np.float64(spectrum[k])
            moment += spectrum[k] * frequencies[k]
        positive = np.float32(total if total > TINY else TINY)  # noqa: FURB136 - numba has no maximum of two widths
        centre = moment / positive
        spread = _ZERO
        for k in range(n_bins):
            deviation = frequencies[k] - centre
            spread += deviation * deviation * spectrum[k]
        centroid[frame] = centre
        bandwidth[frame] = np.sqrt(spread / positive)
        rolloff[frame] = frequencies[_rolloff_bin(spectrum, share * total)]
    return centroid, bandwidth, rolloff


@compiled_for_sums
def _rolloff_bin(spectrum: Array, threshold: float) -> int:
    """The first bin at which the cumulative sum reaches the threshold; sums of 32 bins find its place."""
    # In float64: rounding would put the place a bin off now and then, and the variance feels it.
    below, start = 0.0, 0
    while start + _BLOCK < len(spectrum):
        partial = 0.0
        for k in range(_BLOCK):
            partial += np.float64(spectrum[start + k])
        if below + partial >= threshold:
            break
        below += partial
        start += _BLOCK
    below += np.float64(spectrum[start])
    while below < threshold and start < len(spectrum) - 1:
        start += 1
        below += np.float64(spectrum[start])
    return start


@compiled
def harmonic_part(parts: Array, magnitude: Array) -> Array:
    """The spectra times the harmonic mask: (frame, 2 · frequency), real and imaginary parts in turn."""
    n_frames, n_bins = magnitude.shape
    medians, masked = np.empty_like(magnitude), np.empty_like(parts)
    down_columns(magnitude, medians)
    phases, phase_medians, wires, outputs = margins(n_bins)
    percussive = np.empty(n_bins + OUTPUTS_AT_ONCE, np.float32)
    for frame in range(n_frames):
        medians_of_row(magnitude[frame], phases, phase_medians, wires, outputs)
        for group in range(-(-n_bins // OUTPUTS_AT_ONCE)):
            for phase in range(OUTPUTS_AT_ONCE):
                percussive[group * OUTPUTS_AT_ONCE + phase] = phase_medians[phase, group]
        harmonic, spectrum, target = medians[frame], parts[frame], masked[frame]
        for k in range(n_bins):
            square = harmonic[k] * harmonic[k]
            total = square + percussive[k] * percussive[k]
            share = _HALF if total < TINY else square / max(total, TINY)
            target[2 * k] = spectrum[2 * k] * share
            target[2 * k + 1] = spectrum[2 * k + 1] * share
    return masked


@compiled_for_sums
def overlap_add(frames: Array, window: Array, hop: int, n_samples: int) -> Array:
    """The waveform of inverse transforms (frame, n_fft), by the window and over the sum of its squares."""
    n_frames, n_fft = frames.shape
    overlap = n_fft // hop
    waveform = np.empty(n_samples, np.float32)
    total, weight = np.empty(hop, np.float32), np.empty(hop, np.float32)
    first_hop = n_fft // 2 // hop
    for number in range(first_hop, first_hop - (-n_samples // hop)):
        total[:], weight[:] = _ZERO, _ZERO
        for frame in range(max(0, number - overlap + 1), min(n_frames, number + 1)):
            piece = (number - frame) * hop
            samples, factors = frames[frame, piece : piece + hop], window[piece : piece + hop]
            for sample in range(hop):
                factor = factors[sample]
                total[sample] += samples[sample] * factor
                weight[sample] += factor * factor
        target = waveform[(number - first_hop) * hop : (number - first_hop + 1) * hop]
        for sample in range(len(target)):
            target[sample] = total[sample] / weight[sample]
    return waveform


@compiled_for_sums
def moments(series: Array) -> tuple[float, float]:
    """Mean and population variance, summed in float64."""
    total = 0.0
    for value in series:
        total += value
    mean = total / len(series)
    squares = 0.0
    for value in series:
        squares += (value - mean) * (value - mean)
    return mean, squares / len(series)


@compiled_for_sums
def energies_of_parts(waveform: Array, harmonic: Array) -> tuple[float, float]:
    """Sums of squares of the harmonic part and of the rest."""
    sustained, rest = 0.0, 0.0
    for sample in range(len(waveform)):
        value = np.float64(harmonic[sample])
        other = np.float64(waveform[sample] - harmonic[sample])
        sustained += value * value
        rest += other * other
    return sustained, rest


@compiled_for_sums
def energy_and_crossings(waveform: Array, frame_length: int, hop: int) -> tuple[Array, Array]:
    """Root mean square and zero crossing rate of each centred frame."""
    n_samples, half = len(waveform), frame_length // 2
    n_frames = 1 + n_samples // hop
    overlap = frame_length // hop
    n_hops = n_frames + overlap - 1
    squares, crossings = np.zeros(n_hops, np.float32), np.zeros(n_hops, np.float32)
    at_start = np.zeros(n_hops, np.float32)
    for number in range(n_hops):
        start = number * hop - half
        hop_samples = waveform[max(0, start) : max(0, min(n_samples, start + hop))]
        total = _ZERO
        for value in hop_samples:
            total += value * value
        squares[number] = total
        count = np.int32(0)
        for sample in range(1, len(hop_samples)):
            count += np.int32((hop_samples[sample] < _ALMOST_ZERO) != (hop_samples[sample - 1] < _ALMOST_ZERO))
        if 0 < start < n_samples:
            at_start[number] = (waveform[start] < _ALMOST_ZERO) != (waveform[start - 1] < _ALMOST_ZERO)
        crossings[number] = count + at_start[number]
    energy, rate = np.empty(n_frames, np.float32), np.empty(n_frames, np.float32)
    for frame in range(n_frames):
        energy[frame] = np.sqrt(squares[frame : frame + overlap].sum() / np.float32(frame_length))
        rate[frame] = (crossings[frame : frame + overlap].sum() - at_start[frame]) / np.float32(frame_length)
    return energy, rate


@compiled
def peaks_and_valleys(magnitude: Array, bands: NDArray[np.int64]) -> tuple[Array, Array]:
    """Means of each band's loudest and of its quietest bins, at most 9: (frame, band) each; bands: (band, 3)."""
    n_frames, n_bins = magnitude.shape
    peaks, valleys = np.empty((n_frames, len(bands)), np.float32), np.empty((n_frames, len(bands)), np.float32)
    # Frames are lanes here: the bins of 16 frames, then their largest and their smallest so far, ascending.
    rows = np.empty((n_bins + 2 * EXTREME_BINS, LANES), np.float32)
    held = (n_bins + np.arange(2 * EXTREME_BINS)) * LANES
    wires = np.concatenate((np.arange(_BINS_AT_ONCE) * LANES, held))
    for first in range(0, n_frames, LANES):
        n_left = min(LANES, n_frames - first)
        for lane in range(LANES):
            spectrum = magnitude[first + min(lane, n_left - 1)]
            for k in range(n_bins):
                rows[k, lane] = spectrum[k]
        for band in range(len(bands)):
            start, stop, count = bands[band, 0], bands[band, 1], bands[band, 2]
            rows[n_bins : n_bins + EXTREME_BINS] = -np.float32(np.inf)
            rows[n_bins + EXTREME_BINS :] = np.float32(np.inf)
            whole = start + (stop - start) // _BINS_AT_ONCE * _BINS_AT_ONCE
            for k in range(start, whole, _BINS_AT_ONCE):
                for new in range(_BINS_AT_ONCE):
                    wires[new] = (k + new) * LANES
                _rank_eight(rows, wires, 0, rows, held, 0)
            for k in range(whole, stop):
                wires[_BINS_AT_ONCE - 1] = k * LANES
                _rank_one(rows, wires[_BINS_AT_ONCE - 1 :], 0, rows, held, 0)
            for lane in range(n_left):
                high, low = _ZERO, _ZERO
                for rank in range(count):
                    high += rows[n_bins + EXTREME_BINS - 1 - rank, lane]
                    low += rows[n_bins + EXTREME_BINS + rank, lane]
                peaks[first + lane, band] = high / np.float32(count)
                valleys[first + lane, band] = low / np.float32(count)
    return peaks, valleys


@compiled
def spectral_peaks(power: Array, lowest: int, highest: int, bin_hz: float) -> tuple[NDArray[np.float64], Array]:
    """Pitch in Hz and height of the local maxima among the bins lowest..highest - 1, frame by frame."""
    n_frames = len(power)
    pitches_hz = np.empty(n_frames * (highest - lowest), np.float64)
    heights = np.empty(len(pitches_hz), np.float32)
    count = 0
    for frame in range(n_frames):
        spectrum = power[frame]
        loudest = _largest(spectrum)
        threshold = np.float32(0.1) * loudest
        for k in range(lowest, highest):
            here = spectrum[k]
            if not here > threshold:
                continue
            left, right = spectrum[k - 1], spectrum[k + 1]
            if (left > threshold and left >= here) or (right > threshold and right > here):
                continue
            curvature, slope = right + left - 2 * here, (right - left) / 2
            shift = _ZERO if abs(slope) >= abs(curvature) else -slope / curvature
            pitches_hz[count] = (k + np.float64(shift)) * bin_hz
            heights[count] = here + _HALF * slope * shift
            count += 1
    return pitches_hz[:count], heights[:count]


@compiled_for_extremes
def _largest(values: Array) -> np.float32:
    largest: np.float32 = values[0]
    for k in range(1, len(values)):
        largest = values[k] if values[k] > largest else largest  # noqa: FURB136 - the compiler makes vectors of this form
    return largest


@compiled
def median_rises(mel_db: Array) -> Array:
    """(frame − 1,) medians over the 128 bands of max(0, rise from the frame before); (frame, mel)."""
    n_frames, n_mels = mel_db.shape
    strength = np.empty(max(0, n_frames - 1), np.float32)
    rises, middle = np.zeros((n_mels, LANES), np.float32), np.empty((2, LANES), np.float32)
    wires, outputs = np.arange(n_mels) * LANES, np.arange(2) * LANES
    for first in range(1, n_frames, LANES):
        n_left = min(LANES, n_frames - first)
        for lane in range(n_left):
            before, here = mel_db[first + lane - 1], mel_db[first + lane]
            for band in range(n_mels):
                rises[band, lane] = max(_ZERO, here[band] - before[band])
        _middle_two(rises, wires, 0, middle, outputs, 0)
        for lane in range(n_left):
            strength[first - 1 + lane] = (middle[0, lane] + middle[1, lane]) / 2
    return strength


@compiled_for_sums
def windowed_excerpts(samples: Array, window: Array, n_frames: int, n_fft: int) -> tuple[Array, Array]:
    """A window at every sample, zero up to n_fft: (frame, n_fft); and one over each one's energy, or 1."""
    excerpts, scales = np.zeros((n_frames, n_fft), np.float32), np.empty(n_frames, np.float32)
    for frame in range(n_frames):
        target, energy = excerpts[frame], _ZERO
        for sample in range(len(window)):
            value = samples[frame + sample] * window[sample]
            target[sample] = value
            energy += value * value
        scales[frame] = np.float32(1.0) / (np.float32(1.0) if energy < TINY else energy)
    return excerpts, scales


@compiled_for_sums
def mean_scaled_power(parts: Array, scales: Array) -> NDArray[np.float64]:
    """(frequency,) mean over the frames of |X|² times the frame's scale; parts: (frame, 2 · frequency)."""
    n_frames, n_bins = len(parts), parts.shape[1] // 2
    total = np.zeros(n_bins, np.float64)
    for frame in range(n_frames):
        spectrum, scale = parts[frame], scales[frame]
        for k in range(n_bins):
            real, imaginary = spectrum[2 * k], spectrum[2 * k + 1]
            total[k] += (real * real + imaginary * imaginary) * scale
    return total / n_frames
