"""Closed grammars of 40 to 60 words, in English, German and Japanese: small worlds of things to be told to a machine."""

from __future__ import annotations

import random

# Each language: sentence frames, and what stands in their places.
FRAMES = {
    "en": ("please {verb} the {colour} {thing} in the {room}", "{verb} the {thing} in the {room} now",
           "{verb} the {colour} {thing}",
           "the {colour} {thing} is in the {room}", "is the {thing} {state} in the {room}",
           "the {thing} in the {room} is {state}",
           "{who} wants the {colour} {thing} at {hour} tomorrow", "wake {who} at {hour} and {verb} the {thing}",
           "{verb} {number} {colour} things for {who}"),
    "de": ("bitte {verb} die {colour} {thing} in der {room}", "die {colour} {thing} ist in der {room}",
           "ist die {thing} in der {room} {state}", "{who} will die {colour} {thing} um {hour} uhr",
           "{verb} jetzt die {thing} für {who}", "wecke {who} um {hour} uhr und {verb} die {thing}"),
    "ja": ("{room} の {colour} {thing} を {verb}", "{thing} は {room} に あります", "{who} は {colour} {thing} が すき です",
           "{room} の {thing} は {state} です", "{hour} に {thing} を {verb}", "{who} に {colour} {thing} を あげます"),
}
WORDS = {
    "en": {"verb": ("open", "close", "start", "stop", "clean", "bring", "find"),
           "colour": ("red", "green", "blue", "yellow", "white", "black"),
           "thing": ("door", "window", "lamp", "radio", "box", "table"), "room": ("kitchen", "garden", "office", "hall"),
           "state": ("open", "closed", "broken", "clean"), "who": ("anna", "my brother", "the doctor"),
           "hour": ("seven", "eight", "noon", "midnight"), "number": ("two", "three", "five", "nine")},
    "de": {"verb": ("öffne", "schließe", "suche", "putze", "bringe", "hole"),
           "colour": ("rote", "grüne", "blaue", "gelbe", "weiße", "alte"),
           "thing": ("lampe", "tür", "kiste", "tasche", "uhr", "tasse"),
           "room": ("küche", "halle", "garage", "stadt"), "state": ("offen", "kaputt", "sauber", "neu"),
           "who": ("anna", "peter", "maria", "oma"), "hour": ("sieben", "acht", "neun", "zehn")},
    "ja": {"verb": ("あけて", "しめて", "さがして", "みせて", "かって"),
           "colour": ("あかい", "あおい", "しろい", "くろい", "おおきい"),
           "thing": ("まど", "はこ", "かばん", "とけい", "いす", "つくえ"), "room": ("だいどころ", "にわ", "へや", "がっこう"),
           "state": ("きれい", "しずか", "べんり"), "who": ("はは", "ちち", "せんせい", "ともだち"),
           "hour": ("あさ", "ひる", "よる", "ゆうがた")},
}


def sentence(language: str, chosen: random.Random) -> str:
    """One sentence, in small letters."""
    words = {name: chosen.choice(choices) for name, choices in WORDS[language].items()}
    return chosen.choice(FRAMES[language]).format(**words)


def vocabulary(language: str) -> list[str]:
    """Every word that a sentence may hold."""
    fixed = {word for frame in FRAMES[language] for word in frame.split() if not word.startswith("{")}
    return sorted(fixed | {word for choices in WORDS[language].values() for phrase in choices for word in phrase.split()})
