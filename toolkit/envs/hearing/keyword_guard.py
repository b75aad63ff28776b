"""``toolkit/KeywordGuard-v0``: a stream of words; press when the keyword has been said, and only then.

The observation is the last second of the stream, which moves on by a fifth of a second a step, and at which
of the steps in it the guard pressed: without that it could not know whether what it still hears is answered. A
press counts from the keyword's beginning until a second after its end; further presses in that time change nothing.

Letters: N copies, W words in an episode's stream, T samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from toolkit.envs.base import Array
from toolkit.envs.hearing import sounds
from toolkit.envs.hearing.base import SAMPLE_RATE, HearingEnv, HearingEnvs, Moved, SpokenEnv
from toolkit.errors import UsageError, did_you_mean

WORDS = ("stop", "go", "yes", "no", "left", "right", "up", "down")
STEP = SAMPLE_RATE // 5  # samples from one observation to the next
GRACE = 1.0  # s after the keyword's end in which a press still counts
GAPS = (0.3, 1.2)  # s of silence between words
KEYWORD_SHARE = 0.4  # of the words
PRESSES = SAMPLE_RATE // STEP  # steps in a window
STREAM_WORDS = 48  # more than the longest episode holds
HIT, FALSE_ALARM, MISS, DELAY_COST = 1.0, -2.0, -1.0, 0.2  # the last a second


class KeywordGuardEnvs(HearingEnvs):
    """State: the words of the episode's stream, when each begins, which were answered, and counts."""

    shape: ClassVar[tuple[int, ...]] = (SAMPLE_RATE,)
    parts: ClassVar = {"pressed": spaces.Box(0.0, 1.0, (PRESSES,), np.float32)}  # 1 for a press; the newest last

    def __init__(self, seeds: Sequence[int], max_episode_steps: int | None, *, keyword: str = "stop", words: str = "",
                 **hearing: Any) -> None:
        if keyword not in WORDS:
            raise UsageError(f"--env.keyword {keyword}: allowed are {', '.join(WORDS)}.{did_you_mean(str(keyword), WORDS)}")
        super().__init__(seeds, max_episode_steps, **hearing)
        self.action_space, self.keyword = spaces.Discrete(2), WORDS.index(keyword)
        source = sounds.source(words)
        self.lexicon, self.noises = sounds.lexicon(WORDS, source), sounds.bank(WORDS, source)
        self.clips = [self.lexicon.indices(word, self.hearing.held_out) for word in range(len(WORDS))]
        self.field("clip", STREAM_WORDS, dtype=np.int64)
        self.field("start", STREAM_WORDS, dtype=np.int64)  # samples from the episode's beginning
        self.field("answered", STREAM_WORDS, dtype=bool)
        for name in ("now", "noise", "noise_start", "hits", "keywords", "false_alarms"):
            self.field(name, dtype=np.int64)  # now: samples from the episode's beginning to the window's end
        self.field("noise_level")
        self.field("pressed", PRESSES, dtype=bool)

    def begin(self, index: int, generator: np.random.Generator) -> None:
        fields, end = self.fields, 0
        for place in range(STREAM_WORDS):
            is_keyword, which, gap = generator.random(3)
            others = [word for word in range(len(WORDS)) if word != self.keyword]
            word = self.keyword if is_keyword < KEYWORD_SHARE else others[int(which * len(others))]
            clip = int(generator.choice(self.clips[word]))
            begin = end + int((GAPS[0] + gap * (GAPS[1] - GAPS[0])) * SAMPLE_RATE)
            fields["clip"][index, place], fields["start"][index, place] = clip, begin
            end = begin + int(self.lexicon.lengths[clip])
        fields["answered"][index] = fields["pressed"][index] = False
        fields["noise"][index], fields["noise_level"][index] = self.hearing.draw_noise(generator)
        fields["noise_start"][index] = generator.integers(self.noises.shape[1])
        for name in ("now", "hits", "keywords", "false_alarms"):
            fields[name][index] = 0

    def move(self, actions: Array) -> Moved:
        fields = self.fields
        now, begins = fields["now"][:, None], fields["start"]
        ends = begins + self.lexicon.lengths[fields["clip"]]  # [N, W]
        closes = ends + int(GRACE * SAMPLE_RATE)
        is_keyword = self.lexicon.words[fields["clip"]] == self.keyword
        open_ones = is_keyword & (begins <= now) & (now < closes)
        fresh = open_ones & ~fields["answered"] & (actions == 1)[:, None]  # [N, W]
        alarm = (actions == 1) & ~open_ones.any(-1)
        delays = np.maximum(now - ends, 0) / SAMPLE_RATE
        rewards = (fresh * (HIT - DELAY_COST * delays)).sum(-1) + FALSE_ALARM * alarm
        fields["answered"] |= fresh
        fields["pressed"] = np.concatenate([fields["pressed"][:, 1:], (actions == 1)[:, None]], -1)
        fields["now"] = fields["now"] + STEP
        closed = is_keyword & (closes > now) & (closes <= fields["now"][:, None])
        rewards += MISS * (closed & ~fields["answered"]).sum(-1)
        fields["keywords"] = fields["keywords"] + closed.sum(-1)
        fields["hits"] = fields["hits"] + (closed & fields["answered"]).sum(-1)
        fields["false_alarms"] = fields["false_alarms"] + alarm
        return Moved(rewards, np.zeros(self.n_envs, bool))

    def listen(self, index: int, out: Array) -> None:
        fields, end = self.fields, int(self.fields["now"][index])
        begin, noise = end - SAMPLE_RATE, self.noises[fields["noise"][index]]
        offset = (fields["noise_start"][index] + end) % (len(noise) - SAMPLE_RATE)
        np.multiply(noise[offset:offset + SAMPLE_RATE], np.float32(fields["noise_level"][index]), out=out)
        starts = fields["start"][index]
        ends = starts + self.lexicon.lengths[fields["clip"][index]]
        for place in np.flatnonzero((ends > begin) & (starts < end)):
            clip, start = self.lexicon.clips[fields["clip"][index, place]], int(starts[place])
            first, last = max(start, begin), min(start + len(clip), end)
            out[first - begin:last - begin] += clip[first - start:last - start]

    def look(self, indices: Array) -> dict[str, Array]:
        return {"pressed": self.fields["pressed"][indices]}

    def measure(self) -> dict[str, Array]:
        """Share of hits among the keywords whose time is over (1 before the first), and false alarms a minute."""
        fields = self.fields
        minutes = np.maximum(fields["now"], 1) / SAMPLE_RATE / 60
        return {"hits": np.where(fields["keywords"] > 0, fields["hits"] / np.maximum(fields["keywords"], 1), 1.0),
                "false_alarms_per_minute": fields["false_alarms"] / minutes}


class KeywordGuard(SpokenEnv):
    """One copy."""

    metadata: dict[str, Any] = {**HearingEnv.metadata, "render_fps": SAMPLE_RATE // STEP}
    vector = KeywordGuardEnvs

    def scene(self) -> NDArray[np.uint8]:
        """Hits as filled discs and misses as rings in the keyword's colour, false alarms in ink; the lamp shows a keyword."""
        from toolkit.envs.hearing import picture

        scene, fields, envs = picture.canvas(), self.envs.fields, self.envs
        now, starts = fields["now"][0], fields["start"][0]
        ends = starts + envs.lexicon.lengths[fields["clip"][0]]  # type: ignore[attr-defined]
        said = (starts <= now) & (now < ends + GRACE * SAMPLE_RATE)
        spoken = envs.lexicon.words[fields["clip"][0]] == envs.keyword  # type: ignore[attr-defined]
        picture.disc(scene, 120, 90, 50, picture.TARGET if (said & spoken).any() else (220, 220, 215))
        for name, row, color in (("hits", 180, picture.ACCENT), ("false_alarms", 210, picture.INK)):
            for count in range(min(int(fields[name][0]), 14)):
                picture.disc(scene, 16 + 16 * count, row, 6, color)
        return scene
