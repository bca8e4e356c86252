"""Many tables of one game in lockstep, on plain arrays: what the trainer plays on, whatever the game.

Every table always has somebody to act: a finished hand is paid out and the next one dealt within the same step. `observe`
fills the caller's arrays with what whoever is to act sees; `step` takes one action per table. Seats are who plays: a seat keeps
its number while the button moves. The same seed and the same actions give the same hands, to the bit.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

Int8 = npt.NDArray[np.int8]
Int16 = npt.NDArray[np.int16]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]


class Tables(Protocol):
    """`count` tables (N) of `players` seats (P)."""

    count: int
    players: int
    actions: int  # A: how many actions the game has; which of them are legal is in the mask
    tokens_max: int  # L: no sequence is longer
    lead: int  # every sequence begins with so many tokens that are always there
    vocabulary: int  # token ids are below it; 0 is padding, at the end only
    outlooks: int  # K: how many guesses somebody who sees everything makes

    number: Int64  # [N]: which hand of its table is being played, from 0
    finished: Bool  # [N]: whose hand ended with the last step
    payoff: Float32  # [N, P]: what each seat won by it, in the game's unit (big blinds, antes); 0 where nothing ended

    def observe(self, tokens: Int16, mask: Bool, actor: Int8) -> None:
        """Fills tokens [N, L], legal actions [N, A], and the seat to act [N]."""

    def foresee(self, outlook: Float32) -> None:
        """Fills outlook [N, K]: guesses by all that is hidden of what the seat to act will win. To judge by, never to play by."""

    def step(self, action: Int8) -> None:
        """Plays one legal action [N] at every table."""
