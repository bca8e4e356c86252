"""Dealings between players: offers of treaties, truces, alliances, and the trust that is made and lost by them.

Offers are answered in the order of their numbers; one that no longer fits when its turn comes counts as refused.
"""

from __future__ import annotations

import numpy as np

from .checks import fits
from .events import Answered
from .orders import find
from .rules import (
    ALLIANCE,
    GIFT_PER_TRUST,
    OFFER_H,
    TRUCE,
    TRUCE_H,
    TRUST_BETRAYED,
    TRUST_ENDED,
    TRUST_HURT,
    TRUST_KEPT,
    TRUST_MAX,
    TRUST_REFUSED,
    TRUST_WITNESSED,
    Bools,
    Ints,
)
from .state import State


def propose(state: State, rows: Ints) -> None:
    """Make offers."""
    if not len(rows):
        return
    maker, to, treaty, gift, amount = rows.T
    numbers = state.next_numbers(len(rows))
    state.offers.add(number=numbers, maker=maker, to=to, treaty=treaty, gift=gift, amount=amount, since=state.turn)


def answer(state: State, rows: Ints) -> list[Answered]:
    """Accept and refuse offers, then let those go that nobody answered for too long."""
    answers = dict(zip(rows[:, 1].tolist(), rows[:, 2].tolist(), strict=True))
    offers, truces = state.offers, state.truces
    truces.keep(truces.until > state.turn)
    places = sorted(find(offers.number, np.array(sorted(answers), dtype=np.int64))[0].tolist()) if answers else []
    told = [_settle(state, place, answers[int(offers.number[place])] == 1) for place in places]
    _promise(
        state, [(answered.maker, answered.to) for answered in told if answered.accepted and answered.treaty == TRUCE]
    )
    open_still = ~np.isin(offers.number, rows[:, 1])
    late = open_still & (state.turn - offers.since >= OFFER_H)
    told += [Answered(*_facts(state, place), False, 0, 0, expired=True) for place in np.flatnonzero(late).tolist()]
    offers.keep(open_still & ~late)
    return told


def _facts(state: State, place: int) -> tuple[int, int, int, int]:
    offers = state.offers
    return int(offers.maker[place]), int(offers.since[place]), int(offers.to[place]), int(offers.treaty[place])


def _settle(state: State, place: int, accept: bool) -> Answered:
    facts = maker, _, to, treaty = _facts(state, place)
    if accept and treaty == ALLIANCE and not fits(state, np.array([maker]), np.array([to]))[0]:
        accept = False
    if not accept:
        return Answered(
            *facts, accepted=False, trust_change=0, maker_trust_change=_trust(state, maker, to, TRUST_REFUSED)
        )
    given = _give(state, place, maker, to)
    if treaty == ALLIANCE:
        alliance = state.players.alliance
        alliance[[maker, to]] = max(alliance[maker], alliance[to]) or int(state.next_numbers(1)[0])
    _remember(state, state.players.pacts, np.array([maker, to]), np.array([to, maker]))
    gained = _trust(state, to, maker, TRUST_KEPT + given // GIFT_PER_TRUST)
    return Answered(*facts, accepted=True, trust_change=gained, maker_trust_change=_trust(state, maker, to, TRUST_KEPT))


def _promise(state: State, pairs: list[tuple[int, int]]) -> None:
    """Truces for these; two who have offered one to each other have one."""
    if not pairs:
        return
    one, other = np.array(pairs, dtype=np.int64).T
    first = np.sort(np.unique(state.pair(one, other), return_index=True)[1])
    fresh = first[~state.truce_between(one[first], other[first])]
    if len(fresh):
        state.truces.add(one=one[fresh], other=other[fresh], until=state.turn + TRUCE_H)


def _give(state: State, place: int, maker: int, to: int) -> int:
    """The gift goes from first village to first village, as far as it is there."""
    gift, stocks = state.offers.gift[place], state.villages.stocks
    given = int(min(state.offers.amount[place], stocks[maker, gift]))
    stocks[maker, gift] -= given
    stocks[to, gift] += given
    return given


def leave(state: State, rows: Ints) -> None:
    """End treaties openly."""
    if not len(rows):
        return
    player, treaty, other = rows.T
    ending, leaving = treaty == TRUCE, treaty == ALLIANCE
    _end_truces(state, player[ending], other[ending])
    shift_trust(state, other[ending], player[ending], TRUST_ENDED)
    for one in player[leaving].tolist():
        members = np.flatnonzero(state.players.alliance == state.players.alliance[one])
        shift_trust(state, members[members != one], np.full(len(members) - 1, one), TRUST_ENDED)
        state.players.alliance[one] = 0


def hurt(state: State, player: Ints, victim: Ints) -> Bools:
    """Raids and attacks cost trust; those in spite of a treaty end it, and are remembered by all who know the player."""
    truce, allied = state.truce_between(player, victim), state.allied(player, victim)
    breach: Bools = truce | allied
    _remember(state, state.players.fights, victim, player)
    shift_trust(state, victim[~breach], player[~breach], TRUST_HURT)
    shift_trust(state, victim[breach], player[breach], TRUST_BETRAYED)
    _end_truces(state, player[truce], victim[truce])
    state.players.alliance[player[allied]] = 0
    for one in np.unique(player[breach]).tolist():
        knows = (state.players.contacts == one) & (state.players.trust > 0)
        knows[victim[breach & (player == one)]] = False
        state.players.trust[knows] = np.maximum(state.players.trust[knows] + TRUST_WITNESSED, 0)
    return breach


def _end_truces(state: State, one: Ints, other: Ints) -> None:
    truces = state.truces
    for first, second in zip(one.tolist(), other.tolist(), strict=True):
        between = (truces.one == first) & (truces.other == second) | (truces.one == second) & (truces.other == first)
        truces.keep(~between)


def _remember(state: State, figure: Ints, of: Ints, about: Ints) -> None:
    """One more of these between each of the pairs that know each other."""
    place, known = state.contact(of, about)
    np.add.at(figure, (of[known], place[known]), 1)


def _trust(state: State, of: int, into: int, change: int) -> int:
    """Shift the trust of one player in another, and say by how much it went."""
    place, known = state.contact(np.array([of]), np.array([into]))
    if not known[0]:
        return 0
    trust = state.players.trust
    before = int(trust[of, place[0]])
    trust[of, place[0]] = min(max(before + change, 0), TRUST_MAX)
    return int(trust[of, place[0]]) - before


def shift_trust(state: State, of: Ints, into: Ints, change: int) -> None:
    """Shift the trust of players in others, each pair as often as it is named."""
    for one, other in zip(of.tolist(), into.tolist(), strict=True):
        _trust(state, one, other, change)


__all__ = ["answer", "hurt", "leave", "propose", "shift_trust"]
