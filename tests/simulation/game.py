"""The game and its client: the real referee, the real journal, the real account of what is unconfirmed."""

from __future__ import annotations

from functools import partial

import msgspec

from hearthmind import ids
from hearthmind.bus.wire import decode, encode
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.observation import Choice, Event, LegalAction, Observation, Whole
from hearthmind.contracts.outcome import CLIENT, PLATFORM, Executed, OutcomeObserved, OutcomesStored
from hearthmind.journal import Entry, Journal, remembered
from hearthmind.outbox import GIVE_UP_AFTER_S, LOOK_EVERY_S, RESEND_AFTER_S, RESEND_AT_ONCE_MAX
from hearthmind.referee import Execute, Referee, Verdict
from hearthmind.unconfirmed import Unconfirmed

from .broker import Broker
from .plan import Asked, Twisted
from .publishing import Publishing
from .streams import Ack
from .world import Alarm, World

GAME = "castle"
AN_INSTANT_S = 0.001


class KeptJournal(Journal):
    """A journal whose file is in memory and survives its process; a crash may tear its last line."""

    def __init__(self, file: bytearray) -> None:
        super().__init__()
        self.kept = file
        self._pending, _, damaged = remembered(bytes(file))
        assert not damaged
        self._from_before = set(self._pending)
        file[:] = b"".join(msgspec.json.encode(entry) + b"\n" for entry in self._pending.values())

    def _write(self, entry: Entry) -> None:
        super()._write(entry)
        self.kept += msgspec.json.encode(entry) + b"\n"


class Game(Publishing):
    """One game server with the client library in it."""

    def __init__(self, world: World, broker: Broker, referee: type[Referee]) -> None:
        super().__init__(world, broker, "game", 3000.0)
        self._new_referee = referee
        self._file = bytearray()
        self._to_report = 0
        self._heard = 0
        self._twisted = {fault.nth: fault for fault in world.plan.faults if isinstance(fault, Twisted)}
        self.referee: Referee
        self.journal: KeptJournal

    @property
    def is_at_rest(self) -> bool:
        """Whether it waits for nothing any more."""
        return self.is_up and not (self.referee.waiting or len(self.journal) or self._to_report)

    def began(self) -> None:
        self.referee = self._new_referee()
        self.journal = KeptJournal(self._file)
        self._unconfirmed = Unconfirmed(GAME, self.journal)
        self._to_report = 0
        self._alarm = Alarm(self, self._on_alarm)
        self.reconnected()
        self.after(LOOK_EVERY_S, self._resend)

    def ended(self) -> None:
        """A line that was being written is torn: it was never sent."""
        if self.world.plan.seed % 2:
            self._file += b'{"id":"torn","subject":"game.cas'

    def reconnected(self) -> None:
        self.send("pull", self.broker.subscribe, self, "action", "heard action", self.on_action)
        self.send("pull", self.broker.subscribe, self, "stored", "heard stored", self.on_stored)

    # ---- asking ----------------------------------------------------------------------------------------------------

    def ask(self, number: int, asked: Asked) -> None:
        """Tells what an NPC sees."""
        observation = observation_of(number, asked)
        self.tell("asks {} for {}, {}, {} ms", observation.id, asked.npc, asked.kind, asked.answer_within_ms)
        self.world.laws.asked(observation, self.life, self.world.now_s)
        self._carry_out(self.referee.observed(observation, self.clock_s))
        give_up_s = asked.answer_within_ms / 1000
        self.world.at(
            self.world.now_s + give_up_s + AN_INSTANT_S, None, self._check_deadline, observation.id, self.life
        )
        subject_of = ids.event_subject if asked.is_event else ids.observation_subject
        message_id = ids.message_id(GAME, asked.npc, observation.id)
        stream, subject = "EVENT" if asked.is_event else "OBSERVATION", subject_of(GAME, asked.npc, asked.kind)

        def stored(ack: Ack | None) -> None:
            if ack is None or ack.refused:
                why = ack.refused if ack else "no acknowledgement came in time"
                self._carry_out(self.referee.refused(observation.id, why, self.clock_s))

        self.publish("observation", stream, subject, encode(observation), message_id, give_up_s, stored)

    def _check_deadline(self, decision: str, life: int) -> None:
        """A game that stands still can't act; it has to when it goes on."""
        if self.frozen_until_s > self.world.now_s - AN_INSTANT_S and self.life == life:
            self.world.at(self.frozen_until_s + 2 * AN_INSTANT_S, None, self._check_deadline, decision, life)
        elif self.is_up:
            self.world.laws.deadline_passed(decision, self.life)

    def on_action(self, data: bytes) -> None:
        """An action was heard."""
        action = self._as_heard(decode(data, ActionChosen))
        self._carry_out(self.referee.chosen(action, self.clock_s))

    def _as_heard(self, action: ActionChosen) -> ActionChosen:
        fault = self._twisted.get(self._heard)
        self._heard += 1
        if fault is None:
            return action
        self.tell("hears {} twisted: {}", action.decision, fault.how)
        if fault.how == "unknown":
            return msgspec.structs.replace(action, action="surrender")
        if fault.how == "too many":
            return msgspec.structs.replace(action, arguments={**action.arguments, "troops": 99})
        return msgspec.structs.replace(action, snapshot=action.snapshot - 1)

    def _on_alarm(self) -> None:
        self._carry_out(self.referee.ticked(self.clock_s))

    def _carry_out(self, verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            if isinstance(verdict, Execute):
                self._execute(verdict)
            else:
                self.tell("has replaced {}", verdict.observation.id)
                self.world.laws.replaced(verdict.observation.id)
        self._alarm.set(self.referee.wakes_s)

    def _execute(self, verdict: Execute) -> None:
        chosen = verdict.chosen
        self.tell(
            "executes {}: {} {} by {} {}", chosen.decision, chosen.action, chosen.arguments, chosen.source, chosen.why
        )
        excused_until_s = self.frozen_until_s + AN_INSTANT_S if self.frozen_until_s else 0.0
        self.world.laws.executed(chosen, excused_until_s)
        self._to_report += 1
        asked = self.world.plan.asks[int(chosen.decision[1:])]
        self.after(asked.report_after_s, self._report, verdict)

    # ---- reporting -------------------------------------------------------------------------------------------------

    def _report(self, verdict: Execute) -> None:
        self._to_report -= 1
        outcome = outcome_of(verdict)
        self.journal.add(outcome.decision, ids.outcome_subject(GAME, outcome.npc), encode(outcome))
        self.tell("reports {}", outcome.decision)
        self.world.laws.reported(outcome)
        self._send(outcome.decision)

    def _send(self, decision: str) -> None:
        sending = self._unconfirmed.begin(decision, self.clock_s, self.world.time_of_day_s)
        if sending:
            self.publish("outcome", "EXPERIENCE", *sending, GIVE_UP_AFTER_S, partial(self._ended, decision))

    def _ended(self, decision: str, ack: Ack | None) -> None:
        self._unconfirmed.ended(decision, is_on_stream=ack is not None and not ack.refused)

    def on_stored(self, data: bytes) -> None:
        """The platform has stored outcomes."""
        decisions = [each for each in decode(data, OutcomesStored).decisions if each in self.journal]
        self._unconfirmed.stored(decisions)
        for decision in decisions:
            self.tell("forgets {}", decision)
            self.world.laws.left_the_journal(decision)

    def _resend(self) -> None:
        for decision in self._unconfirmed.due(self.clock_s, RESEND_AFTER_S, RESEND_AT_ONCE_MAX):
            self.tell("sends {} again", decision)
            self._send(decision)
        self.after(LOOK_EVERY_S, self._resend)


def observation_of(number: int, asked: Asked) -> Observation:
    """What is asked as the nth; of raids it differs what is legal."""
    raid = LegalAction(
        name="raid",
        parameters={"troops": Whole(minimum=1, maximum=1 + number % 5), "road": Choice(enum=("north", "south"))},
        appeal=0.8,
    )
    wait = LegalAction(name="wait", appeal=0.2)
    kind_of = Event if asked.is_event else Observation
    return kind_of(
        id=f"d{number}",
        game=GAME,
        npc=asked.npc,
        kind=asked.kind,
        legal_actions=(wait, raid) if number % 4 else (wait,),
        answer_within_ms=asked.answer_within_ms,
        snapshot=number + 1,
        priority=asked.priority,
    )


def outcome_of(verdict: Execute) -> OutcomeObserved:
    """What came of an action, as the client tells it."""
    chosen, observation = verdict.chosen, verdict.observation
    by_client = chosen.source == CLIENT
    executed = Executed(action=chosen.action, arguments=chosen.arguments, by=CLIENT if by_client else PLATFORM)
    return OutcomeObserved(
        decision=chosen.decision,
        game=GAME,
        npc=chosen.npc,
        kind=chosen.kind,
        executed=executed,
        success=True,
        facts={"victory": True},
        observation=observation if by_client else None,
    )
