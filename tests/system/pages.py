"""What a page asks its reader to do, in its order. CONTRIBUTING.md says how a page is written so that it can be followed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from markdown_it import MarkdownIt

RUN = ("sh", "python", "js")
"""Languages of what is run."""
SHOWN = ("", "text", "sql", "json", "yaml", "toml")
"""Languages of what is only looked at; `text` is what the step before it prints."""

_SAVE = re.compile(r"\bSave (?:it |this )?as `(?P<name>[\w./-]+)`")
_COMMENT = re.compile(r"<!--\s*(?P<word>not run|run as|after a moment|Ctrl-C)\b:?\s*(?P<rest>.*?)\s*-->", re.DOTALL)


@dataclass(frozen=True)
class Step:
    """A block of a page, or `Ctrl-C` in the terminal that was started last."""

    page: Path
    line: int
    language: str
    text: str = ""
    file: str = ""
    """Where the page wants it saved."""
    prints: str = ""
    """What the page says that it prints."""
    not_run: str = ""
    """Why a test can't run it."""
    is_patient: bool = False
    """It is done again until it prints what the page shows: something else needs a moment."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


CTRL_C = "Ctrl-C"


def steps(page: Path) -> list[Step]:
    """The steps of a page."""
    found: list[Step] = []
    for step in _blocks(page):
        if step.language == "text" and found and found[-1].language in RUN and not found[-1].prints:
            found[-1] = replace(found[-1], prints=step.text)
        else:
            found.append(step)
    return found


def _blocks(page: Path) -> Iterator[Step]:
    tokens = MarkdownIt().parse(page.read_text())
    said, noted = "", {}
    for number, token in enumerate(tokens):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "inline":
            said = token.content
        elif token.type == "html_block" and (comment := _COMMENT.search(token.content)):
            noted[comment["word"]] = comment["rest"]
            if comment["word"] == CTRL_C:
                yield Step(page, line, CTRL_C)
        elif token.type == "fence":
            text = noted.get("run as", token.content)
            below = next((each.content for each in tokens[number + 1 : number + 3] if each.type == "inline"), "")
            file = _saved_as(said, below)
            not_run, is_patient = noted.get("not run", ""), "after a moment" in noted
            yield Step(page, line, token.info.strip(), text, file, not_run=not_run, is_patient=is_patient)
            said, noted = "", {}


def _saved_as(above: str, below: str) -> str:
    """The name of the file that a block belongs into, from `Save as` above it or `Save it as` below it."""
    if above.endswith(":") and (found := _SAVE.search(above)):
        return found["name"]
    found = None if below.endswith(":") else _SAVE.match(below)
    return found["name"] if found else ""


# ---- what is filled in, and what is compared -----------------------------------------------------------------------------

_DECISION = re.compile(r"\b1[0-9a-km-z]{18}\b")
_GAP = re.compile(r"[\w:/.@-]*…[\w:/.@-]*")


def filled_in(text: str, said: str) -> str:
    """The text with `DECISION`, and each word with `…` in it, as what was printed before has them."""
    if decisions := _DECISION.findall(said):
        text = re.sub(r"\bDECISION\b", decisions[-1], text)
    return _GAP.sub(lambda word: _last(word[0], said) or word[0], text)


def _last(word: str, said: str) -> str:
    pattern = r"\S*".join(re.escape(part) for part in word.split("…"))
    found = re.findall(pattern, said) if word.strip("…") else []
    return found[-1] if found else ""


def missing(prints: str, output: str) -> str:
    """The first line of what a page says is printed that was not printed there, if any.

    The lines have to come in their order, not one below the other. `…` stands for anything, a number for any other but 0,
    and blanks for any blanks.
    """
    rest = [" ".join(line.split()) for line in output.splitlines()]
    for line in prints.splitlines():
        pattern = _pattern(line)
        while rest and not pattern.fullmatch(rest[0]):
            rest.pop(0)
        if not rest and line.strip() not in {"", "…"}:
            return line
        rest = rest[1:]
    return ""


_LOOSE = re.compile(r"…|(?<![\w.])[1-9][\d,.]*\d\b|(?<![\w.])[1-9]\b|(?<![\w.])0[.]\d+\b")


def _pattern(line: str) -> re.Pattern[str]:
    line, made, at = " ".join(line.split()), "", 0
    for loose in _LOOSE.finditer(line):
        made += re.escape(line[at : loose.start()]) + (".*" if loose[0] == "…" else r"(?!0\b(?![.]))\d[\d,.]*")
        at = loose.end()
    return re.compile(made + re.escape(line[at:]))
