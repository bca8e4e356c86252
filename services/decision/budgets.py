"""How much may still be spent on an NPC, and on a game: calls, tokens and cost, by the hour.

What was spent wears off evenly over an hour, so that nobody waits for a full hour to begin. The memory is bounded: an NPC whose
spending has worn off is forgotten, and beyond `npcs_max` the one that was asked about longest ago. A budget is that of one
decision process; where several run, each has its own, and each has its share of a game's NPCs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import msgspec

HOUR_S = 3600.0
NPCS_MAX = 100_000
"""NPCs that are kept account of at once; some 30 MB."""

Count = Annotated[float, msgspec.Meta(ge=0)]


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """What may be spent in an hour; where nothing is said there is no limit."""

    calls_per_h: Count | None = None
    tokens_per_h: Count | None = None
    usd_per_h: Count | None = None

    @property
    def is_unlimited(self) -> bool:
        """Whether no account need be kept."""
        return self.calls_per_h is None and self.tokens_per_h is None and self.usd_per_h is None


class Allowances(msgspec.Struct, frozen=True, kw_only=True):
    """The budgets of a triage file."""

    npc: Allowance = Allowance()
    """Of each NPC."""
    game: Allowance = Allowance()
    """Of each game."""
    npcs_of: Annotated[dict[str, Allowance], msgspec.Meta(max_length=1000)] = {}
    """Of each NPC of these games instead."""
    games: Annotated[dict[str, Allowance], msgspec.Meta(max_length=1000)] = {}
    """Of these games instead."""


UNLIMITED = Allowances()


@dataclass(slots=True)
class _Spent:
    """Calls, tokens and cost that have not worn off yet, as of a moment."""

    calls: float = 0.0
    tokens: float = 0.0
    usd: float = 0.0
    at_s: float = 0.0

    def wear(self, allowance: Allowance, now_s: float) -> None:
        """An hour takes off what an hour allows."""
        share = max(0.0, now_s - self.at_s) / HOUR_S
        self.at_s = max(self.at_s, now_s)
        self.calls = max(0.0, self.calls - (allowance.calls_per_h or 0.0) * share)
        self.tokens = max(0.0, self.tokens - (allowance.tokens_per_h or 0.0) * share)
        self.usd = max(0.0, self.usd - (allowance.usd_per_h or 0.0) * share)

    def over(self, allowance: Allowance) -> str:
        """What is used up; empty where nothing is."""
        if allowance.calls_per_h is not None and self.calls + 1 > allowance.calls_per_h:
            return f"{allowance.calls_per_h:g} calls an hour"
        if allowance.tokens_per_h is not None and self.tokens >= allowance.tokens_per_h:
            return f"{allowance.tokens_per_h:g} tokens an hour"
        if allowance.usd_per_h is not None and self.usd >= allowance.usd_per_h:
            return f"{allowance.usd_per_h:g} USD an hour"
        return ""


@dataclass
class Budgets:
    """The accounts; `asked` when a model is asked, `spent` when it has answered."""

    allowances: Allowances = UNLIMITED
    npcs_max: int = NPCS_MAX
    _npcs: dict[tuple[str, str], _Spent] = field(default_factory=dict)
    _games: dict[str, _Spent] = field(default_factory=dict)

    def allows(self, game: str, npc: str, now_s: float) -> str:
        """Empty where a model may be asked, otherwise whose budget is used up."""
        if over := self._over(self._npcs.get((game, npc)), self._of_npc(game), now_s):
            return f"the NPC's budget of {over} is used up"
        if over := self._over(self._games.get(game), self._of_game(game), now_s):
            return f"the game's budget of {over} is used up"
        return ""

    def asked(self, game: str, npc: str, now_s: float) -> None:
        """A model is asked: a call, whether or not it answers."""
        self._add(game, npc, now_s, calls=1)

    def spent(self, game: str, npc: str, tokens: int, cost_usd: float, now_s: float) -> None:
        """An answer came, and that is what it took."""
        self._add(game, npc, now_s, tokens=tokens, usd=cost_usd)

    @property
    def kept(self) -> int:
        """How many NPCs there are accounts of."""
        return len(self._npcs)

    def _add(self, game: str, npc: str, now_s: float, calls: int = 0, tokens: int = 0, usd: float = 0.0) -> None:
        if not (allowance := self._of_npc(game)).is_unlimited:
            account = self._npcs.pop((game, npc), None) or _Spent(at_s=now_s)
            self._npcs[game, npc] = account  # the newest stands last
            _charge(account, allowance, now_s, calls, tokens, usd)
            self._forget(now_s)
        if not (allowance := self._of_game(game)).is_unlimited:
            _charge(self._games.setdefault(game, _Spent(at_s=now_s)), allowance, now_s, calls, tokens, usd)

    def _over(self, account: _Spent | None, allowance: Allowance, now_s: float) -> str:
        if allowance.is_unlimited:
            return ""
        account = account or _NOTHING
        if account is not _NOTHING:
            account.wear(allowance, now_s)
        return account.over(allowance)

    def _forget(self, now_s: float) -> None:
        """The two that were charged longest ago, where nothing is left of what they spent or there are too many."""
        for key in tuple(self._oldest(2)):
            account = self._npcs[key]
            account.wear(self._of_npc(key[0]), now_s)
            if len(self._npcs) > self.npcs_max or not (account.calls or account.tokens or account.usd):
                del self._npcs[key]

    def _oldest(self, most: int) -> list[tuple[str, str]]:
        return [key for key, _ in zip(self._npcs, range(most), strict=False)]

    def _of_npc(self, game: str) -> Allowance:
        return self.allowances.npcs_of.get(game, self.allowances.npc)

    def _of_game(self, game: str) -> Allowance:
        return self.allowances.games.get(game, self.allowances.game)


_NOTHING = _Spent()


def _charge(account: _Spent, allowance: Allowance, now_s: float, calls: int, tokens: int, usd: float) -> None:
    account.wear(allowance, now_s)
    account.calls += calls
    account.tokens += tokens
    account.usd += usd
