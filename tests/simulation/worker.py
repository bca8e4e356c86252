"""The inference worker around its real machine, with an engine that does what the plan says."""

from __future__ import annotations

from hearthmind import flow, ids
from hearthmind.bus.settle import before_handling
from hearthmind.bus.wire import decode, encode
from hearthmind.contracts.inference import ENGINE, LATE, Answer, Infer, Inferred
from hearthmind.contracts.observation import Observation, Whole
from services.inference_worker.handlers import EXTEND_EVERY_S
from services.inference_worker.machine import Effect, Job, Late, Line, Start

from .broker import Broker
from .laws import answer_to
from .plan import Answered
from .publishing import Publishing
from .streams import Delivered
from .world import World

FAILED = {
    "missing": "the deadline passed",
    "failed": "OutOfMemory: the engine has no room",
    "no time": "there is no time for it",
}


class Worker(Publishing):
    """One process with one engine."""

    def __init__(self, world: World, broker: Broker, number: int) -> None:
        super().__init__(world, broker, f"worker-{number}", 5000.0 + number)
        self._line: Line
        self._held: dict[tuple[str, int], Delivered]
        self._started = 0
        self._answers = {fault.nth: fault for fault in world.plan.faults if isinstance(fault, Answered)}

    def began(self) -> None:
        self._line = Line(slots=self.world.plan.slots, prefetch=64, ageing_s=5.0, held_back=0.25)
        self._held = {}
        self.reconnected()

    def reconnected(self) -> None:
        for consumer in flow.consumers_of("inference_worker", 1, ("rules",)):
            self.send("pull", self.broker.pull, self, consumer.stream, consumer.name)

    def on_delivery(self, delivery: Delivered) -> None:
        """A request was delivered."""
        if before_handling(delivery.attempt):
            self.tell("gives up on a request after {} deliveries", delivery.attempt.delivered)
            self.acknowledge(delivery)
            return
        infer = decode(delivery.data, Infer)
        deadline_s = self.clock_s + delivery.deadline_s - self.world.now_s
        if (delivery.stream, delivery.sequence) in self._held:
            self._held[delivery.stream, delivery.sequence] = delivery  # the broker lost patience; it is being worked on
            return
        if not self._held:
            self.after(EXTEND_EVERY_S, self._keep_alive)
        self._held[delivery.stream, delivery.sequence] = delivery
        self._carry_out(self._line.arrived(Job(infer, deadline_s, self.clock_s, delivery), self.clock_s))

    def _keep_alive(self) -> None:
        self._carry_out(self._line.ticked(self.clock_s))
        for delivery in self._held.values():
            self.extend(delivery)
        if self._held:
            self.after(EXTEND_EVERY_S, self._keep_alive)

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Start):
                self._generate(effect.job)
            elif isinstance(effect, Late):
                self._reply(effect.job, "no time")
            else:
                self.tell("lets the expired {} go", effect.job.infer.decision)
                self._let_go(effect.job)

    def _generate(self, job: Job) -> None:
        """As the handlers do: what has not ended at the deadline has failed, unless the engine does not let itself be ended."""
        fault = self._answers.get(self._started)
        self._started += 1
        how = fault.how if fault else "good"
        takes_s = self.world.plan.engine_s + (fault.after_s if fault and how == "slow" else 0.0)
        left_s = max(0.001, job.deadline_s - self.clock_s)
        if how == "late":
            takes_s = left_s + 0.05
        elif how == "missing" or takes_s > left_s:
            takes_s, how = left_s, "missing"
        self.after(takes_s, self._ended, job, how)

    def _ended(self, job: Job, how: str) -> None:
        self._reply(job, how)
        ended = self._line.failed if how in FAILED else self._line.finished
        self._carry_out(ended(job, self.clock_s))

    def _reply(self, job: Job, how: str) -> None:
        infer = job.infer
        failed = FAILED.get(how, "")
        reply = Inferred(
            game=infer.game,
            npc=infer.npc,
            decision=infer.decision,
            attempt=infer.attempt,
            text="" if failed else words(infer, how),
            failed=failed,
            failure=(ENGINE if how == "failed" else LATE) if failed else "",
            model=infer.model,
            worker=self.name,
        )
        self.tell("answers attempt {} at {}: {}", infer.attempt, infer.decision, how)
        self.send("reply", self.broker.tell_all, ids.reply_subject(infer.partition), infer.partition, encode(reply))
        self._let_go(job)

    def _let_go(self, job: Job) -> None:
        delivery = job.ticket
        assert isinstance(delivery, Delivered)
        self.acknowledge(self._held.pop((delivery.stream, delivery.sequence), delivery))


def words(infer: Infer, how: str) -> str:
    """What the engine writes."""
    assert infer.observation is not None
    said = encode(good_answer(infer.observation, infer.attempt)).decode()
    if how == "illegal":
        return said.replace('"troops":', '"troops":99')
    if how == "unknown":
        return said.replace('"raid"', '"surrender"').replace('"wait"', '"surrender"')
    return said[:-7] if how == "garbled" else said


def good_answer(observation: Observation, attempt: int) -> Answer:
    """A legal answer that says whose it is."""
    reasoning = answer_to(observation.id, attempt)
    for legal in observation.legal_actions:
        if legal.name == "raid":
            most = legal.parameters["troops"]
            assert isinstance(most, Whole)
            return Answer(action="raid", arguments={"troops": int(most.maximum), "road": "south"}, reasoning=reasoning)
    return Answer(action="wait", reasoning=reasoning)
