"""Sound of any length through a model of clips: texts with the times of their words, classes stretch by stretch.

Word        one word and when it is said
Stretch     what is said between two pauses
transcribe  stretches as they are understood, a window at a time
follow      words as they are said, by a model that hears sound as it comes
classify    one answer a stretch of a fixed length

All of them take sound of any length in constant memory. A window is cut in the longest pause near its end, best between
two words, and the next one begins a little earlier, so that every position is heard with both its sides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.audio import io
from toolkit.audio.decoding import BLANK, align
from toolkit.audio.models.streaming import Streams
from toolkit.audio.tasks.base import Featured, whole
from toolkit.core.problem import Batch, device_of, run_model
from toolkit.errors import UsageError

WINDOW, CONTEXT = 20.0, 1.0  # seconds heard at a time, and seconds heard again on both sides of a cut
LATEST = 0.6  # share of a window before which it is not cut
BETWEEN = 10  # positions that a pause between words counts for
PAUSE = 0.5  # seconds without a letter after which a word is over
PIECE = 10.0  # seconds of a longer piece that are held at once
BLOCK = 1.0  # seconds that a model which streams is given at a time, at most
CHANNELS = 32  # more than this of fewer samples are samples of channels
Array = np.ndarray


@dataclass(frozen=True)
class Word:
    """A word, and its beginning and end in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Stretch:
    """What is said from ``start`` to ``end`` (seconds)."""

    text: str
    start: float
    end: float
    words: tuple[Word, ...]

    def json(self) -> dict[str, Any]:
        return asdict(self)


class Ear:
    """Samples that come in pieces, held as far as they are needed; ``begin`` is the place of the first one held."""

    def __init__(self, sound: Iterable[Array]) -> None:
        self._pieces = iter(sound)
        self.held, self.begin, self.over = np.zeros(0, np.float32), 0, False

    def hear(self, size: int | None) -> Array:
        """The next ``size`` samples (None: all), or what is left; ``over`` tells that nothing comes after them."""
        pieces, count = [self.held], len(self.held)
        while (size is None or count <= size) and not self.over:  # one more than asked for shows that there is more
            piece = next(self._pieces, None)
            self.over = piece is None
            if piece is not None:
                pieces.append(np.asarray(piece, np.float32).reshape(-1))
                count += len(pieces[-1])
        self.held = np.concatenate(pieces)
        return self.held[:size]

    def forget(self, count: int) -> None:
        self.held, self.begin = self.held[count:], self.begin + count


def at_rate(sound: Any, given: int, rate: int) -> Iterator[Array]:
    """Mono pieces [T] at ``rate`` of a waveform ([T] or [channels, T] in [-1, 1], int16 or int32), or of an iterable of them.

    None is longer than `PIECE`: what is held is copied with each step through it. Raises UsageError for a rate below 1 and for
    what is no waveform, AudioError for samples that are no numbers, or of another type.
    """
    import soxr

    if given < 1:
        raise UsageError(f"sample_rate: got {given:g}, allowed: samples a second, at least 1")
    alone = isinstance(sound, Tensor) or hasattr(sound, "dtype")
    resampler = None if given == rate else soxr.ResampleStream(given, rate, 1, dtype="float32")
    start = 0
    for piece in [sound] if alone else sound:
        samples = mono(whole(np.asarray(piece)))
        io.check_finite(samples[:, None], "the waveform", start / given, given)
        start += len(samples)
        heard = samples if resampler is None else resampler.resample_chunk(samples).reshape(-1)
        yield from blocks_of([heard], round(PIECE * rate))
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True).reshape(-1)


def mono(samples: Array) -> Array:
    """The mean over channels, [T], of [T] or [channels, T]. Raises UsageError where soundfile's [T, channels] is meant."""
    if samples.ndim not in (1, 2):
        raise UsageError(f"a waveform is [T] or [channels, T]; got {samples.shape}")
    if samples.ndim == 2 and samples.shape[1] <= CHANNELS < samples.shape[0]:
        raise UsageError(f"a waveform is [T] or [channels, T]; got {samples.shape}, which is {samples.shape[0]} channels of "
                         f"{samples.shape[1]} samples. Turn it: waveform.T")
    return samples.mean(0) if samples.ndim == 2 else samples


def transcribe(problem: Any, model: nn.Module, sound: Iterable[Array], window: float = WINDOW) -> Iterator[Stretch]:
    """Stretches of mono samples in [-1, 1] that come in pieces [T] at the front end's rate.

    ``window`` (seconds) is how much is heard at a time: more is heard with more around it, less is answered sooner.
    Raises UsageError for a window without room for its context.
    """
    if window < 3 * CONTEXT:
        raise UsageError(f"window: got {window:g} seconds, allowed: at least {3 * CONTEXT:g}")
    rate, ear, told = problem.spec.sample_rate, Ear(sound), 0  # told: samples up to which all is said
    spaces = spaces_of(problem)
    while len(heard := ear.hear(round(window * rate))) > told - ear.begin:
        logs = outputs_of(problem, model, heard)
        each = len(heard) / max(1, len(logs))  # samples a position
        final = ear.over and len(heard) == len(ear.held)
        stop = len(logs) if final else cut(logs, round(CONTEXT * rate / each), spaces)
        first = min(stop, round((told - ear.begin) / each))
        begin, told = told, ear.begin + (len(heard) if final else round(stop * each))
        yield spoken(problem, logs[first:stop], begin / rate, told / rate)
        ear.forget(max(0, told - round(CONTEXT * rate) - ear.begin))


def can_follow(problem: Any, model: nn.Module) -> bool:
    """Whether model and front end hear sound as it comes."""
    if not isinstance(model, Streams):
        return False
    try:
        problem.frontend.stream()
    except UsageError:  # a frame depends on the whole clip
        return False
    return True


def follow(problem: Any, model: Any, sound: Iterable[Array]) -> Iterator[Stretch]:
    """Words of mono samples in [-1, 1] that come in pieces [T] at the front end's rate, each once it is over.

    `can_follow` tells whether a model can. A word is over where a space follows it or `PAUSE` does; a beam chooses among
    whole texts, so with one it is the pause alone. The last stretch may be empty: it ends where the sound does.
    """
    rate = problem.spec.sample_rate
    each = problem.spec.hop_length * model.stride / rate  # seconds a position
    spaces = spaces_of(problem)
    between = spaces if problem.config.beam == 1 else []
    begin, end, waiting = 0, 0.0, np.zeros((0, problem.tokenizer.size), np.float32)  # positions said; of the sound; not yet said
    for logs, heard in outputs_along(problem, model, blocks_of(sound, round(BLOCK * rate))):
        end = heard / rate
        waiting = np.concatenate([waiting, logs])
        stop = over(waiting.argmax(-1), between, round(PAUSE / each))
        if not stop and len(waiting) * each > WINDOW:
            stop = cut(waiting, round(CONTEXT / each), spaces)
        if stop:
            # The last position of a clip may reach past its end.
            stretch = spoken(problem, waiting[:stop], min(begin * each, end), min((begin + stop) * each, end))
            begin, waiting = begin + stop, waiting[stop:]
            if stretch.words:
                yield stretch
    if end:
        yield spoken(problem, waiting, min(begin * each, end), end)


def outputs_along(problem: Any, model: Any, sound: Iterable[Array]) -> Iterator[tuple[Array, int]]:
    """Log-probabilities [n, C] that each piece of sound completes, then those of its end; and the samples heard so far."""
    model.eval()
    device = device_of(model)
    frames, state, heard = problem.frontend.stream(), None, 0

    def logs_of(outputs: Tensor) -> Array:
        return np.asarray(F.log_softmax(outputs[0].float(), -1).cpu().numpy())

    def step(features: Tensor) -> tuple[Tensor, Any]:
        batch = problem.features(Featured(features[None], torch.tensor([len(features)], device=device)))
        found: tuple[Tensor, Any] = model.step(batch.inputs, state)
        return found

    for piece in sound:
        heard += len(piece)
        outputs, state = step(frames.push(torch.from_numpy(np.ascontiguousarray(piece)).to(device)))
        yield logs_of(outputs), heard
    if heard:
        outputs, state = step(frames.finish())
        yield logs_of(torch.cat([outputs, model.finish(state)], 1)), heard


def blocks_of(sound: Iterable[Array], size: int) -> Iterator[Array]:
    """The pieces, none longer than ``size`` samples."""
    for piece in sound:
        for place in range(0, len(piece), size):
            yield piece[place:place + size]


def over(path: Array, spaces: Collection[int], pause: int) -> int:
    """How many positions of a likeliest ``path`` [T] hold words that are over: up to the last space, or the last pause.

    A pause is a run of at least ``pause`` blanks and spaces. 0: none is over.

    >>> over(np.array([3, 0, 9, 4, 0, 0]), [9], 3), over(np.array([3, 0, 0, 0, 4]), [9], 3)
    (3, 4)
    """
    stop = run = 0
    for place, letter in enumerate(path, 1):
        run = run + 1 if letter == BLANK or letter in spaces else 0
        if run >= max(1, pause) or letter in spaces:
            stop = place
    return stop


def outputs_of(problem: Any, model: nn.Module, samples: Array) -> Array:
    """Log-probabilities [T, C] of one clip; none where it is too short for a frame."""
    device = device_of(model)
    inputs = torch.from_numpy(np.ascontiguousarray(samples))[None].to(device)
    if not problem.spec.frames(len(samples)):
        return np.zeros((0, 1), np.float32)
    with torch.no_grad():
        outputs, lengths, _ = run_model(problem, model.eval(), Batch(inputs, torch.tensor([len(samples)], device=device)))
    logs: Tensor = F.log_softmax(outputs[0].float(), -1)
    return logs[:int(lengths[0]) if lengths is not None else len(logs)].cpu().numpy()


def cut(logs: Array, context: int, spaces: Collection[int] = ()) -> int:
    """Where to end a window: in the middle of the longest pause near the end of ``logs``, best in one between two words.

    A pause is a run of blanks and ``spaces``; without one it is the last position that has its context.
    """
    path = logs.argmax(-1)
    last = max(1, len(path) - context)
    best, place, begin = 0, last, int(LATEST * len(path))
    for position in range(begin, last + 1):
        if position < last and (path[position] == BLANK or path[position] in spaces):
            continue
        between = [begin + int(at) for at in np.flatnonzero(np.isin(path[begin:position], list(spaces)))]
        weight = position - begin + (BETWEEN if between else 0)
        if position > begin and weight > best:
            best, place = weight, between[0] if between else (begin + position) // 2
        begin = position + 1
    return max(1, place)


def spaces_of(problem: Any) -> list[int]:
    """The ids that are nothing but space."""
    return [number for number in range(BLANK + 1, problem.tokenizer.size)
            if (text := problem.tokenizer.decode([number])) and not text.strip()]


def spoken(problem: Any, logs: Array, start: float, end: float) -> Stretch:
    """What ``logs`` [T, C] of the time from ``start`` to ``end`` (seconds) say."""
    ids = problem.decode_ids(logs)
    each = (end - start) / max(1, len(logs))
    spans = align(logs, ids)
    words: list[Word] = []
    before, pending = "", True
    for count, (first, last) in enumerate(spans, 1):
        text = problem.tokenizer.decode(ids[:count])
        added, before = text[len(before):], text
        begins, ends = round(start + first * each, 3), round(start + last * each, 3)
        for part in pieces_of(added):
            if part == " ":
                pending = True
            elif pending or not words:
                words.append(Word(part, begins, ends))
                pending = False
            else:
                words[-1] = Word(words[-1].text + part, words[-1].start, ends)
    return Stretch(" ".join(word.text for word in words), round(start, 3), round(end, 3), tuple(words))


def pieces_of(text: str) -> Sequence[str]:
    """Words and the spaces between them."""
    return [part for part in text.replace(" ", "\0 \0").split("\0") if part]


def classify(problem: Any, model: nn.Module, sound: Iterable[Array], every: float | None = None) -> Iterator[dict[str, Any]]:
    """An answer for each stretch of ``every`` seconds of mono samples at the front end's rate; the last may be shorter, and is
    left out where it is too short for a frame.

    Without ``every`` one for all of them. Raises UsageError for stretches of no length.
    """
    if every is not None and every <= 0:
        raise UsageError(f"every: got {every:g} seconds, allowed: above 0")
    rate, ear = problem.spec.sample_rate, Ear(sound)
    size = None if every is None else max(1, round(every * rate))
    while len(heard := ear.hear(size)):
        if ear.begin and not problem.spec.frames(len(heard)):
            return
        batch = problem.collate(problem.encode([problem.as_example(heard)], targets=False), np.array([0]))
        with torch.no_grad():
            answer = problem.predict(model.eval(), batch.to(device_of(model)))[0]
        start = ear.begin / rate
        yield {"start": round(start, 3), "end": round(start + len(heard) / rate, 3), **answer}
        ear.forget(len(heard))
