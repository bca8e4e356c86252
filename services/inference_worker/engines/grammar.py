"""What an answer may say next, by its JSON schema: llguidance, for the engines that draw their own tokens.

Answers are compact: where white space may stand anywhere, a model that is lost fills its tokens with it. Compiled schemas are
kept, since a game asks with the same few again and again.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache

import numpy as np
from llguidance import LLMatcher, LLTokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

from services.inference_worker.engines import CannotServe
from services.inference_worker.engines.words import Logits, followable

SCHEMAS_MAX = 256
COMPACT = {"whitespace_flexible": False}


@lru_cache(SCHEMAS_MAX)
def grammar_of(schema: str) -> str:
    """The schema as a grammar; raises `CannotServe` where it can't be one."""
    try:
        grammar: str = LLMatcher.grammar_from_json_schema(followable(schema), defaults=COMPACT)
    except ValueError as error:
        raise CannotServe(why=f"its answer schema is no JSON schema: {error}") from None
    if wrong := LLMatcher.validate_grammar(grammar):
        raise CannotServe(why=f"its answer schema is not supported: {wrong}")
    return grammar


class Obeying:
    """One answer's way through its schema."""

    def __init__(self, matcher: LLMatcher, words: int) -> None:
        self._matcher = matcher
        self._mask = allocate_token_bitmask(1, words)

    def allow(self, logits: Logits) -> Logits:
        """The logits with what the schema forbids at minus infinity."""
        fill_next_token_bitmask(self._matcher, self._mask)
        if self._matcher.is_error():
            raise CannotServe(why=f"its schema can't be followed: {self._matcher.get_error()}")
        bits = np.unpackbits(self._mask[0].view(np.uint8), bitorder="little")[: logits.size]
        return np.where(bits.astype(bool), logits, np.float32(-np.inf))

    def said(self, token: int) -> bool:
        """A token was chosen; whether that was all."""
        self._matcher.consume_token(token)
        return bool(self._matcher.is_stopped())


class Grammars:
    """The schemas of a tokenizer; may be asked from one thread at a time."""

    def __init__(self, tokenizer: LLTokenizer, words: int) -> None:
        self._tokenizer = tokenizer
        self._words = words
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()

    def obeying(self, schema: str) -> Obeying:
        """A grammar at its beginning; raises `CannotServe` where the schema can't be one."""
        if schema not in self._compiled:
            self._compiled[schema] = self._compile(schema)
            if len(self._compiled) > SCHEMAS_MAX:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(schema)
        return Obeying(self._compiled[schema].deep_copy(), self._words)

    def _compile(self, schema: str) -> LLMatcher:
        matcher = LLMatcher(self._tokenizer, grammar_of(schema), log_level=0)
        if matcher.is_error():
            raise CannotServe(why=f"its answer schema is not supported: {matcher.get_error()}")
        return matcher
