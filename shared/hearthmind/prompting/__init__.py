"""How an observation becomes a prompt, and in which form it is to be answered.

The decision service asks by it, trainers learn by it and what-if asks again by it, so that all of them speak of a situation in
the same words. The same observation always gives the same prompt, of bounded length; what the game itself thinks of its legal
actions (their appeal and defaults) is never in it, and what players wrote is marked as data.
"""

from .answers import answer_schema, answer_text
from .asking import LIMITS, Limits, prompt_of, template_of

__all__ = ["LIMITS", "Limits", "answer_schema", "answer_text", "prompt_of", "template_of"]
