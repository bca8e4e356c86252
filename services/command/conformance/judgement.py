"""What a check comes to when it is over: the mistakes that only the whole can show. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from services.command.conformance.acts import AT_ONCE, AWAY, SILENT
from services.command.conformance.findings import Noted
from services.command.conformance.mistakes import ERROR, WARNING, Level
from services.command.conformance.play import FINISH_WITHIN_S, Play
from services.command.conformance.rules import Asked

SETTLED_AFTER_S = 1.0
"""So long after an action an outcome may be on its way."""


def judge(play: Play, now_s: float, *, game_ended: bool) -> None:
    """Ends every act and adds what was missing to the findings."""
    _judge_trying(play)
    _judge_silence(play)
    _judge_return(play, game_ended)
    for act in play.acts.values():
        for noted in act.judged():
            play.findings.add(noted)
        act.leave_out(_why_not(play, game_ended))
    _judge_ignored(play)
    for missing, level in _missing(play, now_s, game_ended):
        first, seen = missing[0], missing[0].observation
        said = f"{len(missing)} of {len(play.ledger.asked)} decisions have none; the first is {seen.id} of {seen.npc}"
        play.findings.add(Noted("no-outcome", said), first.data.decode(errors="replace"), level, len(missing))


def _why_not(play: Play, game_ended: bool) -> str:
    if play.began_s is None:
        return "nothing was heard of the game"
    return "the game had ended" if game_ended else "the time was over"


def _judge_trying(play: Play) -> None:
    act = play.acts[AT_ONCE]
    if play.trying.executed:
        act.state, act.why = "passed", ""
    elif not act.is_done and play.trying.ignored:
        act.fail("none was executed")


def _judge_ignored(play: Play) -> None:
    executed, ignored = play.trying.executed, play.trying.ignored
    if play.trying.mislabels:
        said = f"{ignored} outcomes say that the game's own action was executed, and name the one that was chosen"
        play.findings.add(Noted("wrong-by", said), times=ignored)
    elif ignored:
        said = f"{ignored} of {ignored + executed} actions that were there at once were not executed"
        play.findings.add(Noted("answer-ignored", said), level=WARNING if executed else ERROR, times=ignored)


def _judge_silence(play: Play) -> None:
    """Of an NPC that was set going again in vain nothing more was heard."""
    act = play.acts[SILENT]
    if act.state != "running":
        return
    for decision, how in act.cases.items():
        asked = play.ledger.asked[decision]
        if how and asked.excused and play.ledger.spoke_s[asked.observation.npc] < asked.deadline_s:
            act.fail("the game stood still")
            said = f"nothing more was heard of {asked.observation.npc}"
            play.findings.add(Noted("stands-still", said), asked.data.decode(errors="replace"))
            return


def _judge_return(play: Play, game_ended: bool) -> None:
    """Whoever ends when the broker goes away does not come back."""
    act = play.acts[AWAY]
    if act.state == "running" and not act.cases and game_ended:
        act.fail("the game ended when the broker was away")
        play.findings.add(Noted(act.mistake, act.why))


def _missing(play: Play, now_s: float, game_ended: bool) -> Iterator[tuple[list[Asked], Level]]:
    """The decisions without an outcome, and how bad it is: they may just take long in this game."""
    settled_s = now_s - (SETTLED_AFTER_S if game_ended else FINISH_WITHIN_S)
    asked = play.ledger.asked.values()
    answered = [each for each in asked if each.answered_s is not None]
    if answered and not play.ledger.counts.outcomes and not any(each.garbled for each in asked):
        yield answered, ERROR
        return
    due = [each for each in answered if each.heard_s < settled_s] if play.owed is None else play.owed
    if owed := [each for each in due if each.is_owed]:
        yield owed, ERROR if game_ended else WARNING
