"""How an observation becomes a prompt, and in which form it is to be answered.

The decision service asks by it, trainers learn by it and what-if asks again by it, so that all of them speak of a situation in
the same words. The same observation and mind always give the same prompt, of bounded length; what the game itself thinks of its
legal actions (their appeal, defaults and leans) is never in it, and what players wrote is marked as data.
"""

from .answers import answer_schema, answer_text
from .asking import LIMITS, Limits, prompt_of, template_of, templates_in
from .library import BadTemplate, Templates
from .minds import NOBODY, Mind

__all__ = [
    "LIMITS",
    "NOBODY",
    "BadTemplate",
    "Limits",
    "Mind",
    "Templates",
    "answer_schema",
    "answer_text",
    "prompt_of",
    "template_of",
    "templates_in",
]
