"""The decision service around its real machine: what `services.decision.handlers` does, on the simulated bus."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from hearthmind import ids
from hearthmind.bus.clock import BrokerClock
from hearthmind.bus.consume import AT_ONCE_S
from hearthmind.bus.settle import HandedBack, before_handling
from hearthmind.bus.wire import decode, encode
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.inference import Inferred
from hearthmind.contracts.observation import Event, Observation
from services.decision.deciding import House
from services.decision.effects import Act, Ask, Drop, Effect, Seen, without_answer
from services.decision.handlers import EXTEND_EVERY_S
from services.decision.history import Histories
from services.decision.lives import Lives
from services.decision.machine import Partition
from services.decision.policy import read_policy
from services.decision.settings import Decision
from services.decision.triage import parse

from .broker import Broker
from .leases import Leases
from .publishing import NEVER_S, Publishing
from .streams import Ack, Delivered
from .world import EPOCH_S, Alarm, World

POLICY = read_policy()
"""Read once for all lives."""
DETAIL_GIVE_UP_S = 10.0


class Decider(Publishing):
    """One process."""

    def __init__(self, world: World, broker: Broker, number: int, machine: type[Partition]) -> None:
        super().__init__(world, broker, f"decision-{number}", 7000.0 + 100 * number)
        settings = Decision(triage=("combat=rules_scripted", "*=rules"), pending_max=world.plan.pending_max)
        self._settings = settings
        self._machine = machine
        self._clock = BrokerClock()
        self._house: House
        self._partitions: dict[int, Partition]
        self._leases: Leases
        self._handed_back: HandedBack

    @property
    def waiting(self) -> int:
        """How many decisions wait for an engine here."""
        return sum(partition.waiting for partition in self._partitions.values()) if self.is_up else 0

    def began(self) -> None:
        self._partitions = {}
        self._handed_back = HandedBack()
        self._house = House(
            parse(self._settings.triage, {"rules_scripted": "rules"}),
            policy=POLICY,
            answer_early_s=self._settings.answer_early_ms / 1000,
            pending_max=self._settings.pending_max,
        )
        self._clock.add(self.clock_s, self.clock_s, EPOCH_S + self.world.now_s)
        self._alarm = Alarm(self, self._on_alarm)
        self._leases = Leases(self, self.world.plan.partitions, self._take, self._lose)
        self._leases.start()
        self.after(EXTEND_EVERY_S, self._keep_alive)

    def reconnected(self) -> None:
        self._leases.listen()
        for partition in self._partitions.values():
            self._listen(partition)

    # ---- partitions ------------------------------------------------------------------------------------------------

    def _take(self, number: int, epoch: int) -> None:
        self.tell("takes partition {}", number)
        partition = self._machine(number, epoch, self._house, Lives(Histories(8)))
        self._partitions[number] = partition
        self._listen(partition)

    def _listen(self, partition: Partition) -> None:
        number, epoch = partition.number, partition.epoch
        replies = ids.reply_subject(number)
        self.send("pull", self.broker.subscribe, self, replies, "heard reply", self.on_reply, epoch)
        for stream in ("OBSERVATION", "EVENT"):
            self.send("pull", self.broker.pull, self, stream, f"decision_{number}", epoch)

    def _lose(self, number: int) -> None:
        """What is in flight goes back at once, and another decides it."""
        self.tell("has lost partition {}", number)
        partition = self._partitions.pop(number)
        for stream in ("OBSERVATION", "EVENT"):
            self.send("pull", self.broker.unpull, self, stream, f"decision_{number}", partition.epoch)
        for delivery in map(_delivery, partition.tickets):
            self._hand_back(delivery)
        self.send("pull", self.broker.unsubscribe, self, ids.reply_subject(number), partition.epoch)

    def _hand_back(self, delivery: Delivered) -> None:
        self._handed_back.add(delivery.stream, delivery.sequence)
        self.retry(delivery, AT_ONCE_S)

    def _keep_alive(self) -> None:
        for partition in self._partitions.values():
            for delivery in map(_delivery, partition.tickets):
                self.extend(delivery)
        self.after(EXTEND_EVERY_S, self._keep_alive)

    # ---- what comes in ---------------------------------------------------------------------------------------------

    def on_delivery(self, delivery: Delivered) -> None:
        """An observation or event was delivered."""
        partition = self._partitions.get(int(delivery.subject.split(".")[1]))
        if partition is None:
            self._hand_back(delivery)
            return
        times = self._handed_back.times(delivery.stream, delivery.sequence)
        if error := before_handling(replace(delivery.attempt, handed_back=times)):
            self.tell("gives {} up: {}", delivery.subject, error)
            self.acknowledge(delivery)
            return
        observation = decode(delivery.data, Event if delivery.stream == "EVENT" else Observation)
        now_s, stored_s = self.clock_s, self._clock.monotonic_s(delivery.stored_s)
        deadline_s = stored_s + observation.answer_within_ms / 1000
        seen = Seen(observation, delivery.attempt.delivered, deadline_s, now_s, (now_s - stored_s) * 1000, delivery)
        self._carry_out(partition, partition.observed(seen, now_s))

    def on_reply(self, number: int, data: bytes) -> None:
        """An engine answered somebody who owned this partition."""
        if partition := self._partitions.get(number):
            self._carry_out(partition, partition.replied(decode(data, Inferred), self.clock_s))

    def _on_alarm(self) -> None:
        for partition in self._partitions.values():
            self._carry_out(partition, partition.ticked(self.clock_s))

    # ---- what goes out ---------------------------------------------------------------------------------------------

    def _carry_out(self, partition: Partition, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Act):
                self._act(partition, effect)
            elif isinstance(effect, Ask):
                self._ask(partition, effect)
            elif isinstance(effect, Drop):
                self._drop(effect)
        self._alarm.set(partition.wakes_s)

    def _act(self, partition: Partition, effect: Act) -> None:
        action = effect.action
        if partition.outdated(effect.detail.observation):
            self._drop(Drop(effect.ticket, "a newer observation replaced it"))
            return
        self.tell("acts for {}: {} by {} {}", action.decision, action.action, action.source, action.why)
        self.world.laws.said(action)
        subject = ids.chosen_subject(action.game, action.npc)
        message_id = ids.message_id(action.game, action.npc, action.decision)
        left_s = effect.deadline_s - self.clock_s
        self.publish("action", "ACTION", subject, encode(action), message_id, left_s, partial(self.acted, effect))

    def acted(self, effect: Act, ack: Ack | None) -> None:
        """What was not stored in time is left to the broker."""
        if ack and not ack.refused:
            self.send_detail(effect, without_answer(effect.detail) if ack.duplicate else effect.detail)

    def send_detail(self, effect: Act, detail: DecisionMade) -> None:
        """Then the observation is acknowledged; a full EXPERIENCE stream holds nothing up."""
        subject = ids.decision_subject(detail.game, detail.npc)
        message_id = ids.message_id(detail.game, detail.npc, detail.decision, "detail")

        def stored(ack: Ack | None) -> None:
            if ack:
                self.acknowledge(_delivery(effect.ticket))

        self.publish("detail", "EXPERIENCE", subject, encode(detail), message_id, DETAIL_GIVE_UP_S, stored)

    def _ask(self, partition: Partition, effect: Ask) -> None:
        infer, delivery = effect.infer, _delivery(effect.ticket)
        self.tell("asks an engine, question {} at {}", infer.attempt, infer.decision)
        left_s = effect.deadline_s - self.clock_s
        message_id = ids.message_id(infer.game, infer.npc, infer.decision, f"{delivery.sequence}-{infer.attempt}")
        stream = f"INFERENCE_{infer.tier.upper()}"
        subject = ids.request_subject(infer.tier, infer.pool)
        ends_s = self.world.now_s + max(1.0, left_s) if left_s < NEVER_S else NEVER_S

        def stored(ack: Ack | None) -> None:
            if ack is None or ack.refused:
                key, why = (infer.game, infer.npc, infer.decision), ack.refused if ack else "no acknowledgement came"
                self._carry_out(partition, partition.refused(key, infer.attempt, why, self.clock_s))

        self.publish(
            "request", stream, subject, encode(infer), message_id, left_s, stored, self.world.now_s + left_s, ends_s
        )

    def _drop(self, effect: Drop) -> None:
        delivery = _delivery(effect.ticket)
        self.tell("drops number {} of {}: {}", delivery.sequence, delivery.stream, effect.why)
        self.acknowledge(delivery)


def _delivery(ticket: object) -> Delivered:
    assert isinstance(ticket, Delivered)
    return ticket
