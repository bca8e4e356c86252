"""Which earlier deed a deed answers."""

from __future__ import annotations

from realm.events import WIN, Answered, Battle
from realm.grudges import REMEMBERED_H, REMEMBERED_MAX, Grudges
from realm.state import NOBODY


def a_battle(player: int, owner: int, sent: int) -> Battle:
    return Battle(player, sent, 0, 7, owner, WIN, 1, 2, 3, 0, False)


def an_answer(maker: int, to: int) -> Answered:
    return Answered(maker, 1, to, 0, True, 1, 1)


def test_a_blow_is_struck_back_for_once_by_who_was_sent_after_it() -> None:
    grudges = Grudges()
    assert grudges.strike(a_battle(1, 2, sent=3), "first", turn=5) == ()
    assert grudges.strike(a_battle(2, 1, sent=4), "under way already", turn=6) == ()
    assert grudges.strike(a_battle(3, 1, sent=6), "somebody else", turn=7) == ()
    assert grudges.strike(a_battle(2, 1, sent=5), "back", turn=8) == ("first",)
    assert grudges.strike(a_battle(2, 1, sent=6), "again", turn=9) == ()
    assert grudges.strike(a_battle(1, 2, sent=9), "and on", turn=10) == ("under way already", "back", "again")


def test_hamlets_bear_no_grudge_and_old_blows_are_forgotten() -> None:
    grudges = Grudges()
    assert grudges.strike(a_battle(1, NOBODY, sent=1), "hamlet", turn=2) == ()
    grudges.strike(a_battle(1, 2, sent=1), "old", turn=2)
    assert grudges.strike(a_battle(2, 1, sent=2 + REMEMBERED_H), "late", turn=99) == ()


def test_so_many_are_remembered() -> None:
    grudges = Grudges()
    for turn in range(REMEMBERED_MAX + 5):
        grudges.strike(a_battle(1, 2, sent=turn), f"blow-{turn}", turn)
    assert len(grudges.strike(a_battle(2, 1, sent=20), "back", turn=21)) == REMEMBERED_MAX


def test_an_answer_knows_its_offer_once() -> None:
    grudges = Grudges()
    grudges.offer(an_answer(1, 2), "offer")
    assert grudges.offered(an_answer(3, 2)) == ()
    assert grudges.offered(an_answer(1, 2)) == ("offer",)
    assert grudges.offered(an_answer(1, 2)) == ()
