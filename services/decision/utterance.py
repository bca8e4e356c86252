"""What a character says aloud, made fit for others to hear: bounded, and free of what must not be said.

The law: what comes out is at most `chars_max` long, one line of printable text, without an address, somebody's personal data, a
mark of a chat template or of an action; and whoever would have said something toxic says a line of the house instead. Of what
came in no more than `READ_MAX` is read.
"""

from __future__ import annotations

import functools
import re
import unicodedata
import zlib
from collections.abc import Iterator
from typing import Annotated

import msgspec

from hearthmind.contracts.wire import Line, Word

READ_MAX = 4_096
"""Characters; twice as many as a message may have."""


class Speech(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be said; a part of the policy's file."""

    chars_max: Annotated[int, msgspec.Meta(ge=1, le=2_000)] = 1_200
    """About 200 words; what is longer ends at a word."""
    toxic: Annotated[tuple[Word, ...], msgspec.Meta(max_length=1_000)] = ()
    """Words and phrases that nobody says; `*` is any part of a word."""
    instead: Annotated[tuple[Line, ...], msgspec.Meta(min_length=1, max_length=64)] = ("I would rather not say that.",)
    """What is said instead of something toxic: one of these, always the same for the same words."""


SPEECH = Speech()


class Utterance(msgspec.Struct, frozen=True):
    """What is said in the end."""

    text: str
    did: tuple[str, ...] = ()
    """What was done to it, in a word each: `control`, `marks`, `address`, `personal`, `toxic`, `cut`; empty: nothing."""


_CONTROL = re.compile("[^\\S ]|[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_UNSEEN = re.compile(
    "[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
"""What hides words or turns them around. The two joiners stay: Persian, Hindi and families of emoji need them."""
_JOINERS = {0x200C: "", 0x200D: ""}
_MARKS = re.compile(
    r"\[\[[^\[\]]{0,300}+\]\]"
    r"|<\|[^<>|]{0,40}+\|>|\[/?INST\]|</?s>|<</?SYS>>|<(?:start|end)_of_turn>|</?(?:think|system|tool_call|im_start|im_end)>"
    r"|^\s{0,8}+(?:system|assistant|user|developer)\s{0,8}+:|###\s{0,8}+(?:system|instruction|response)\b:?",
    re.IGNORECASE,
)
_BEGINS = re.compile(r"\[\[+|\]\]+|<\||\|>|://+")
"""What is left of a mark or an address that had another one in it."""
_ADDRESS = re.compile(
    r"\b[a-z][a-z0-9+.-]{0,20}\s{0,2}:\s{0,2}//[^\s<>\"']{0,300}+|\b(?:javascript|mailto|data):[^\s<>\"']{1,300}+"
    r"|\bwww\.[^\s<>\"']{1,300}+"
    r"|\b(?:[a-z0-9-]{1,63}\.){1,4}(?:com|net|org|io|gg|ru|cn|info|biz|xyz|tv|dev|app|ly|co|de|uk|fr)\b(?:/[^\s<>\"']{0,300}+)?",
    re.IGNORECASE,
)
_PERSONAL = re.compile(
    r"\b[\w.+-]{1,64}+\s{0,2}+(?:@|\(at\)|\[at\])\s{0,2}+[\w-]{1,63}(?:\s{0,2}\.\s{0,2}[\w-]{2,63}){1,3}"
    r"|(?<![\w.])\+?\(?\d(?:[ ().\/-]{0,2}\d){8,18}(?![\w])"
    r"|\b\d{1,3}(?:\.\d{1,3}){3}\b"
    r"|\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?\d{1,3})?\b",
    re.IGNORECASE,
)
"""E-mail, telephone and card numbers, addresses of machines, bank accounts."""
_LOOK_ALIKES = str.maketrans("0134578@$!|", "oieastbasil")
_APART = re.compile(r"[\W_]++")


_TAKEN_OUT = (
    ("control", _UNSEEN, ""),
    ("control", _CONTROL, " "),
    ("marks", _MARKS, " "),
    ("personal", _PERSONAL, " "),
    ("address", _ADDRESS, " "),
)


def clean(text: str, speech: Speech = SPEECH) -> Utterance:
    """The words as they may be heard."""
    did: list[str] = []
    said = text[:READ_MAX]
    for word, pattern, put in _TAKEN_OUT:
        bare = pattern.sub(put, said)
        if bare != said and (word != "control" or bare.split() != said.split()) and word not in did:
            did.append(word)
        said = bare
    said = " ".join(_BEGINS.sub(" ", said).split())
    if (toxic := _toxic(speech.toxic)) and any(toxic.search(form) for form in _forms(said)):
        did.append("toxic")
        said = speech.instead[zlib.crc32(said.encode()) % len(speech.instead)]
    if len(said) > speech.chars_max or len(text) > READ_MAX:
        did.append("cut")
        said = _cut(said, speech.chars_max)
    return Utterance(said, tuple(did))


def _forms(said: str) -> Iterator[str]:
    """As readers take them: with look-alikes as the letters that they stand for, and with letters set apart as one word."""
    plain = unicodedata.normalize("NFKD", said).casefold()
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter)).translate(_JOINERS)
    for form in {plain, plain.translate(_LOOK_ALIKES)}:
        words = _APART.split(form)
        yield f" {' '.join(words)} "
        if any(len(word) == 1 for word in words):
            yield f" {' '.join(_joined(words))} "


def _joined(words: list[str]) -> Iterator[str]:
    run = ""
    for word in words:
        if len(word) == 1:
            run += word
        else:
            yield from (run, word) if run else (word,)
            run = ""
    yield run


@functools.lru_cache(maxsize=8)
def _toxic(patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    if not patterns:
        return None
    forms = (" ".join(pattern.casefold().translate(_LOOK_ALIKES).split()) for pattern in patterns)
    # a part of a word, and no more: nothing here can run over a whole line
    words = (re.escape(form).replace(r"\*", r"\w{0,32}") for form in forms)
    return re.compile(f" (?:{'|'.join(words)}) ")


def _cut(said: str, chars_max: int) -> str:
    """Its first words, as far as there is room."""
    head = said[:chars_max]
    return head if len(said) == len(head) or " " not in head else head.rpartition(" ")[0]
