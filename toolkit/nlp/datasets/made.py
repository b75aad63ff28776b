"""Data made on the machine: opinions from templates, strings to copy, turn round and sort, brackets.

The same options give the same examples, byte for byte; the run's seed plays no part. No example of
``train`` is in ``validation`` or ``test``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from toolkit.core.base import Example
from toolkit.errors import UsageError
from toolkit.nlp.configs import BracketsConfig, MadeConfig, StringsConfig

GOOD = ("wonderful", "brilliant", "delightful", "excellent", "charming", "superb", "moving", "clever", "gripping", "fresh")
BAD = ("terrible", "boring", "awful", "clumsy", "tedious", "weak", "annoying", "shallow", "predictable", "flat")
THINGS = ("film", "story", "acting", "ending", "music", "plot", "script", "camera work", "dialogue", "first half")
WHO = ("I", "my sister", "we", "the whole family", "my friend", "everyone around me")
# Held-out templates share no sentence frame with the training ones; words are shared.
TRAIN_FRAMES = (
    "The {thing} was {word}.", "What a {word} {thing}!", "{who} found the {thing} {word}.",
    "{who} thought the {thing} was {other_not} and really {word}.", "Not {opposite} at all: the {thing} is {word}.",
    "The {thing} is {word}, and the {thing2} is {word2} too.", "A {word} {thing}, and the {thing2} was not {opposite}.",
    "People said it was {opposite}, but the {thing} is {word}.", "Such a {word} {thing} is rare.",
    "Although the {thing2} was {opposite}, in the end the film was {word}.",
    "Was the {thing} {opposite}? Not for {who}: it was {word}.", "If only every {thing} were so {word}.",
    "Some call it {opposite}. They are wrong, it is {word} and {word2}.", "{word}, {word2}, {word}: that is the {thing}.",
    "No {opposite} {thing} here, only {word} moments.", "{who} expected a {opposite} {thing} and got a {word} one.",
    "Never before was a {thing} this {word}.", "It is anything but {opposite}.", "The {thing} did not seem {opposite} to {who}.",
    "Far from {opposite}, the {thing} felt {word}.", "Is this {opposite}? Hardly.", "Everything about it is {word2}.",
    "{who} left the cinema thinking: {word}!", "It could have been {opposite}, yet it is {word}.")
TEST_FRAMES = (
    "{who} can only say this: {word}, simply {word2}.", "From start to finish a {word} {thing}.",
    "Is the {thing} {opposite}? No, it is {word}.", "Seldom has {who} seen a {thing} so {word}.",
    "It was not {opposite}; the {thing} turned out {word}.")


class TemplateReviews:
    """Opinions about films, good or bad; the test templates are not among the training ones."""

    target = "label"

    def __init__(self, config: MadeConfig) -> None:
        self.config = config

    def splits(self) -> Mapping[str, Sequence[Example]]:
        train = self._texts(TRAIN_FRAMES, self.config.count + self.config.held_out, "train", set())
        held = self._texts(TEST_FRAMES, self.config.held_out, "test", {row["text"] for row in train})
        return {"train": train[:self.config.count], "validation": train[self.config.count:], "test": held}

    def _texts(self, frames: Sequence[str], count: int, name: str, seen: set[str]) -> list[Example]:
        generator = random.Random(f"reviews {self.config.seed} {name}")
        return distinct(lambda: self._review(generator, frames), count, seen, key="text")

    def _review(self, generator: random.Random, frames: Sequence[str]) -> Example:
        good = generator.random() < 0.5
        own, other = (GOOD, BAD) if good else (BAD, GOOD)
        thing, thing2 = generator.sample(THINGS, 2)
        word, word2 = generator.sample(own, 2)
        opposite = generator.choice(other)
        text = generator.choice(frames).format(thing=thing, thing2=thing2, word=word, word2=word2, opposite=opposite,
                                               other_not=f"not {opposite}", who=generator.choice(WHO))
        return {"text": text[0].upper() + text[1:], "label": "good" if good else "bad"}


class Strings:
    """Strings of letters, and what is to become of them."""

    target = "target"

    def __init__(self, config: StringsConfig) -> None:
        if not config.letters or config.shortest > config.longest:
            raise UsageError(f"strings of {config.shortest} to {config.longest} of the letters {config.letters!r} cannot be made")
        self.config = config

    def change(self, text: str) -> str:
        raise NotImplementedError

    def splits(self) -> Mapping[str, Sequence[Example]]:
        config = self.config
        generator = random.Random(f"strings {config.seed}")

        def one() -> Example:
            length = generator.randint(config.shortest, config.longest)
            text = "".join(generator.choice(config.letters) for _ in range(length))
            return {"text": text, "target": self.change(text)}

        rows = distinct(one, config.count + 2 * config.held_out, set(), key="text")
        return held_out_by_length(rows, config.held_out)


class Reverse(Strings):
    """``abc`` becomes ``cba``."""

    def change(self, text: str) -> str:
        return text[::-1]


class Copy(Strings):
    """``abc`` stays ``abc``."""

    def change(self, text: str) -> str:
        return text


class Sort(Strings):
    """``cab`` becomes ``abc``."""

    def change(self, text: str) -> str:
        return "".join(sorted(text))


class BracketTagging:
    """Tokens with brackets of three kinds: each opening one that is closed rightly is ``B``, each closing one
    ``E``, what is inside any matched pair ``I``, brackets without a partner ``X``, all else ``O``.
    """

    target = "tags"
    PAIRS = {"(": ")", "[": "]", "{": "}"}

    def __init__(self, config: BracketsConfig) -> None:
        self.config = config

    def splits(self) -> Mapping[str, Sequence[Example]]:
        generator = random.Random(f"brackets {self.config.seed}")
        held = self.config.held_out
        rows = distinct(lambda: self._sentence(generator), self.config.count + 2 * held, set(), key="text")
        return {"train": rows[2 * held:], "validation": rows[:held], "test": rows[held:2 * held]}

    def _sentence(self, generator: random.Random) -> Example:
        tokens = self._tokens(generator, generator.randint(4, self.config.longest))
        if generator.random() < 0.5:  # break something
            for _ in range(generator.randint(1, 3)):
                tokens[generator.randrange(len(tokens))] = generator.choice("()[]{}ab")
        return {"text": " ".join(tokens), "tags": " ".join(bracket_tags(tokens))}

    def _tokens(self, generator: random.Random, length: int) -> list[str]:
        tokens: list[str] = []
        open_: list[str] = []
        while len(tokens) + len(open_) < length:
            draw = generator.random()
            if draw < 0.25 and len(open_) < 4:
                tokens.append(generator.choice("([{"))
                open_.append(self.PAIRS[tokens[-1]])
            elif draw < 0.45 and open_:
                tokens.append(open_.pop())
            else:
                tokens.append(generator.choice("abcde"))
        return tokens + open_[::-1]


def bracket_tags(tokens: Sequence[str]) -> list[str]:
    """The tags of `BracketTagging`; a closing bracket takes the last open one if that is of its kind.

    >>> " ".join(bracket_tags("a ( b ] ) c".split()))
    'O B I X E O'
    """
    pairs: list[tuple[int, int]] = []
    waiting: list[int] = []
    for place, token in enumerate(tokens):
        if token in BracketTagging.PAIRS:
            waiting.append(place)
        elif token in BracketTagging.PAIRS.values() and waiting and BracketTagging.PAIRS[tokens[waiting[-1]]] == token:
            pairs.append((waiting.pop(), place))
    tags = ["O"] * len(tokens)
    for begin, end in pairs:
        for place in range(begin + 1, end):
            tags[place] = "I"
    for place, token in enumerate(tokens):
        if token in "([{)]}":
            tags[place] = "X"
    for begin, end in pairs:
        tags[begin], tags[end] = "B", "E"
    return tags


def held_out_by_length(rows: Sequence[Example], count: int) -> dict[str, list[Example]]:
    """Splits with ``count`` examples in ``validation`` and in ``test``, the same share of every length of ``text``.

    There are 26 strings of one letter: were the first examples held out, nearly all of them would be, and a length that
    was never trained would be asked for.
    """
    by_length = sorted(range(len(rows)), key=lambda index: len(rows[index]["text"]))  # stable: chance orders a length
    held = [by_length[place * len(rows) // (2 * count)] for place in range(2 * count)]
    apart = set(held)
    return {"train": [row for index, row in enumerate(rows) if index not in apart],
            "validation": [rows[index] for index in held[0::2]], "test": [rows[index] for index in held[1::2]]}


def distinct(make: Callable[[], Example], count: int, seen: set[str], key: str) -> list[Example]:
    """``count`` examples that differ in ``key``; raises UsageError when there are not so many."""
    rows: list[Example] = []
    misses = 0
    while len(rows) < count:
        row = make()
        if row[key] in seen:
            misses += 1
            if misses > 200 * count + 10_000:
                raise UsageError(f"only {len(rows)} different examples could be made, and {count} are asked for; "
                                 "ask for fewer with --data.count and --data.held-out")
            continue
        seen.add(row[key])
        rows.append(row)
    return rows
