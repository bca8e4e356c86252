"""A table where the same characters play match after match.

The law: what came of a move is told exactly once, when its match is over or when the table is left.
"""

from __future__ import annotations

import asyncio
from random import Random

from hearthmind.client import Client, Decision
from hearthmind.contracts.wire import Fact

from .judge import Judge
from .match import Match, Record
from .rules import Rules

KIND, PRIORITY = "move", 4


class Table:
    """Sits as many characters as the game has players; who begins changes with every match."""

    def __init__(self, mind: Client, rules: Rules, judge: Judge, number: int, seed: int) -> None:
        self.npcs = [f"t{number:04}p{seat}" for seat in range(rules.num_players())]
        self.played = 0
        """How many matches before this one."""
        self.moves = 0
        """Over the table's life: the snapshot of what its players see."""
        self._mind = mind
        self._rules = rules
        self._judge = judge
        self._table = number
        self._seed = seed
        self._made: list[tuple[int, Decision]] = []
        self._begin()

    def _begin(self) -> None:
        self.match = Match(self._rules, Random(f"{self._seed}/{self._table}/{self.played}"))

    @property
    def seats(self) -> list[str]:
        """The characters in the order of OpenSpiel's players in this match."""
        first = self.played % len(self.npcs)
        return self.npcs[first:] + self.npcs[:first]

    def look(self) -> None:
        """Finds out what the player to move may do; after the end of a match, in the next one. Takes a millisecond."""
        if self.match.is_over:
            self.played += 1
            self._begin()
        dice = Random(f"judge/{self._seed}/{self._table}/{self.moves}")
        self._legal = self._judge.legal_move(self.match, dice)

    async def move(self, answer_within_s: float, episode: str | None) -> Decision:
        """The player to move is asked, and moves; when that ends the match, everybody hears of it."""
        match = self.match
        decision = await self._mind.observe(
            npc=self.seats[match.player],
            kind=KIND,
            legal_actions=(self._legal,),
            state={
                "rules": str(self._rules),
                "table": self._table,
                "match": self.played,
                "player": match.player,
                "players": len(self.npcs),
                "to_move": match.player,
                "move": match.moves_of[match.player],  # the player's own: how often others moved may be hidden
                "sees": match.sees(),
            },
            snapshot=self.moves,
            answer_within_s=answer_within_s,
            priority=PRIORITY,
            game_time=float(self.moves),
            episode=episode or f"t{self._table:04}m{self.played:04}",
        )
        self._made.append((match.player, decision))
        match.move(match.words()[str(decision.arguments["to"])])
        self.moves += 1
        if match.is_over:
            await self.leave()
        return decision

    async def leave(self) -> None:
        """Tells of each move that was not told of; the match may be over or not."""
        made, self._made = self._made, []
        over, state = self.match.is_over, self.match.state
        facts: dict[str, Fact] = {"finished": over, "moves": len(made)}
        after = {"end": str(state)} if over else {}
        await asyncio.gather(
            *(
                self._mind.report(
                    decision,
                    success=over and player in self.match.unbeaten,
                    facts=facts | self.match.result(player),
                    state_after=after,
                    game_time=float(self.moves),
                )
                for player, decision in made
            )
        )

    def record(self) -> Record:
        """The match, for the log."""
        state = self.match.state
        return Record(str(self._rules), self._table, self.played, self.seats, state.history(), state.returns())
