"""What only one can have: exactly one has it, by one rule, in the service, across services and at the game's own referee."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from hearthmind import claims, legal, scripted
from hearthmind.acting import action_of
from hearthmind.claims import Claim, Held, first, to_have
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Choice, Heard, LegalAction, Observation, Whole
from hearthmind.referee import Execute, Referee
from hearthmind.testing.observations import an_observation
from services.decision.scenes import FREE, LETS_OTHERS_S, SCENES_MAX, Company, hushed, quiet

COINS = ("coin-1", "coin-2", "coin-3")
GRAB = LegalAction(name="grab", parameters={"what": Choice(enum=COINS)}, contends="what", appeal=1.0)
WAIT = LegalAction(name="wait")

wanting = st.lists(
    st.builds(
        Claim,
        st.just("realm"),
        st.just("inn"),
        st.sampled_from(("a", "b")),
        st.sampled_from("pqrst"),
        st.sampled_from((0.0, 1.0, 2.0)),
    ),
    min_size=1,
)


def at_the_hoard(npc: str = "p1", **changes: Any) -> Observation:
    return an_observation(npc=npc, id=f"d-{npc}", **{"legal_actions": (GRAB, WAIT), **changes})


def grabbing(observation: Observation, what: str = "coin-1") -> ActionChosen:
    return action_of(observation, Answer(action="grab", arguments={"what": what}), "rules")


# ---- the rule --------------------------------------------------------------------------------------------------------


@given(wanting, st.randoms())
def test_the_first_stored_has_it_and_of_equals_the_first_by_its_id(wanted: list[Claim], shuffled: Any) -> None:
    has_it = first(wanted)
    assert all((has_it.stored_s, has_it.npc) <= (claim.stored_s, claim.npc) for claim in wanted)
    shuffled.shuffle(wanted)
    assert first(wanted).npc == has_it.npc


@given(wanting)
def test_exactly_one_has_each_thing_in_whatever_order_they_come(wanted: list[Claim]) -> None:
    held = Held()
    for claim in wanted:
        held.wants(claim, 0.0)
    for what in {claim.what for claim in wanted}:
        those = [claim for claim in wanted if claim.what == what]
        assert {held.holder(claim.key, 1.0) for claim in those} == {first(those).npc}


def test_what_is_settled_stays_until_it_is_a_new_matter() -> None:
    held = Held()
    claim = Claim("realm", "inn", "word", "p2", 5.0)
    assert held.known(claim.key, 0.0) == held.holder(claim.key, 0.0) == ""
    held.wants(claim, 0.0)
    assert held.holder(claim.key, 0.0) == "p2"
    held.wants(Claim("realm", "inn", "word", "p1", 1.0), 1.0)
    held.settled(claim.key, "p1", 1.0)
    assert held.holder(claim.key, 1.0) == held.known(claim.key, 1.0) == "p2"
    assert held.known(claim.key, claims.KEPT_S) == ""


@given(st.lists(st.integers(0, 500), max_size=200))
def test_what_is_held_is_bounded(whats: list[int]) -> None:
    held = Held(held_max=16)
    for number, what in enumerate(whats):
        held.wants(Claim("realm", "inn", str(what), "p1", 0.0), float(number % 7))
    assert len(held) <= 16


# ---- things ----------------------------------------------------------------------------------------------------------


def test_only_what_is_contended_is_claimed() -> None:
    observation = at_the_hoard()
    claim = to_have(observation, Answer(action="grab", arguments={"what": "coin-1"}), 1.0)
    assert claim is not None
    assert (claim.game, claim.scene, claim.npc, claim.stored_s) == ("realm", "_", "p1", 1.0)
    same = to_have(at_the_hoard("p2", scene="cave"), Answer(action="grab", arguments={"what": "coin-1"}), 2.0)
    assert same is not None
    assert same.key == claim.key
    assert to_have(observation, Answer(action="wait"), 1.0) is None
    other = to_have(at_the_hoard(episode="next"), Answer(action="grab", arguments={"what": "coin-1"}), 1.0)
    assert other is not None
    assert other.key != claim.key


def test_what_is_taken_is_left_out() -> None:
    observation = at_the_hoard()
    left = observation
    chosen = []
    for _ in range(4):
        answer = scripted.choose(left)
        assert legal.problem(observation, answer.action, answer.arguments) is None
        chosen.append(answer.arguments.get("what", answer.action))
        left = claims.without(left, str(answer.arguments.get("what")))
    assert chosen == [*COINS, "wait"]
    only = at_the_hoard(legal_actions=(msgspec.structs.replace(GRAB, parameters={"what": Choice(enum=("coin-1",))}),))
    assert claims.without(only, "coin-1") is only, "something has to be done"
    assert claims.uncontended(observation).legal_actions == (WAIT,)
    assert claims.uncontended(only) is only
    numbered = LegalAction(name="sit", parameters={"seat": Whole(minimum=1, maximum=3)}, contends="seat")
    assert claims.without(at_the_hoard(legal_actions=(numbered, WAIT)), "2").legal_actions == (WAIT,)


# ---- the referee -----------------------------------------------------------------------------------------------------


def test_of_two_actions_on_one_thing_that_reach_the_game_the_first_counts() -> None:
    referee, one, two = Referee(), at_the_hoard("p1"), at_the_hoard("p2")
    for observation in (one, two):
        referee.observed(observation, 0.0)
    (first_verdict,) = referee.chosen(grabbing(two), 0.1)
    (second_verdict,) = referee.chosen(grabbing(one), 0.2)
    assert isinstance(first_verdict, Execute)
    assert isinstance(second_verdict, Execute)
    assert (first_verdict.chosen.source, first_verdict.chosen.arguments["what"]) == ("rules", "coin-1")
    assert (second_verdict.chosen.source, second_verdict.chosen.arguments["what"]) == ("client", "coin-2")
    assert second_verdict.chosen.why == "p2 took it first"
    assert referee.tally.taken == 1


def test_who_was_asked_afterwards_knows_what_is_still_there() -> None:
    referee = Referee()
    referee.observed(at_the_hoard("p1"), 0.0)
    referee.chosen(grabbing(at_the_hoard("p1")), 0.1)
    referee.observed(at_the_hoard("p2"), 0.2)
    (verdict,) = referee.chosen(grabbing(at_the_hoard("p2")), 0.3)
    assert isinstance(verdict, Execute)
    assert verdict.chosen.source == "rules"


def test_fallbacks_of_the_same_moment_go_by_the_id() -> None:
    referee = Referee()
    for npc in ("p3", "p1", "p4", "p2"):
        referee.observed(at_the_hoard(npc), 0.0)
    verdicts = [verdict for verdict in referee.ticked(9.0) if isinstance(verdict, Execute)]
    had = {verdict.observation.npc: verdict.chosen.arguments.get("what") for verdict in verdicts}
    assert had == {"p1": "coin-1", "p2": "coin-2", "p3": "coin-3", "p4": None}


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from((*COINS, "late")), st.integers(0, 2)), max_size=30))
def test_no_thing_is_given_twice_to_those_who_saw_it(acts: list[tuple[int, str, int]]) -> None:
    """All were asked at the same time, so none of them knows of the others."""
    referee = Referee()
    seen = {npc: at_the_hoard(f"p{npc}") for npc, _, _ in acts}
    for observation in seen.values():
        referee.observed(observation, 0.0)
    verdicts = []
    for npc, what, _ in acts:
        if what != "late":
            verdicts += referee.chosen(grabbing(seen[npc], what), 0.1)
    verdicts += referee.ticked(9.0)
    executed = [verdict for verdict in verdicts if isinstance(verdict, Execute)]
    assert len(executed) == len(seen)
    had = [verdict.chosen.arguments["what"] for verdict in executed if verdict.chosen.action == "grab"]
    assert len(had) == len(set(had)) == min(len(seen), len(COINS))


# ---- the word in a scene ---------------------------------------------------------------------------------------------


def spoken_to(npc: str, text: str = "Who is there?", speaker: str = "Ann", **changes: Any) -> Observation:
    return an_observation(npc=npc, scene="inn", kind="chat", texts=(Heard(speaker=speaker, text=text),), **changes)


def turns(text: str, npcs: dict[str, str], answers: dict[str, int] | None = None) -> dict[str, Any]:
    company = Company(answers)
    for npc, called in npcs.items():
        company.seen(spoken_to(npc, text), called)
    return {npc: company.turn(spoken_to(npc, text), called, 1.0) for npc, called in npcs.items()}


TEN = {f"guard{number}": "" for number in range(10)}


def test_those_who_heard_the_same_want_the_same() -> None:
    took = turns("Who is there?", TEN)
    assert len({turn.claims[0].key for turn in took.values()}) == 1
    assert {turn.after_s for turn in took.values()} == {LETS_OTHERS_S}
    other = turns("Who was there?", TEN)
    assert other["guard1"].claims[0].key != took["guard1"].claims[0].key


def test_who_is_spoken_to_by_name_goes_first() -> None:
    took = turns("Hey GUARD3, who is there?", TEN)
    assert [npc for npc, turn in took.items() if turn.claims] == ["guard3"]
    assert took["guard3"].after_s == 0
    assert all(turn.silent for npc, turn in took.items() if npc != "guard3")
    called = turns("Is Vrana here?", {**TEN, "p1": "Vrana of the Long Ride"})
    assert [npc for npc, turn in called.items() if not turn.silent] == ["p1"]


def test_as_many_answer_as_the_game_says() -> None:
    took = turns("Who is there?", TEN, {"realm": 3})
    assert all(len({claim.key for claim in turn.claims}) == 3 for turn in took.values())
    named = turns("guard3?", TEN, {"realm": 2})
    assert (len(named["guard3"].claims), len(named["guard4"].claims)) == (2, 1)
    assert named["guard4"].claims[0].key == named["guard3"].claims[1].key, "the first word is the named one's"


def test_alone_or_in_silence_nothing_is_claimed() -> None:
    company = Company()
    assert company.turn(an_observation(texts=(Heard(speaker="Ann", text="hi"),)), "", 1.0) is FREE
    assert company.turn(an_observation(scene="inn"), "", 1.0) is FREE


def test_the_quiet_do_something_else_and_say_nothing() -> None:
    actions = tuple(LegalAction(name=name, appeal=1.0) for name in ("say", "tell_story", "wait"))
    assert scripted.choose(quiet(an_observation(legal_actions=actions))).action == "wait"
    talkers = an_observation(legal_actions=actions[:2])
    assert quiet(talkers) is talkers
    assert hushed(Answer(action="wait", speech="Me!")) == Answer(action="wait")


def test_scenes_are_bounded() -> None:
    company = Company(scenes_max=3)
    for number in range(9):
        company.seen(an_observation(scene=f"s{number}"))
    assert len(company) == 3 < SCENES_MAX
    for number in range(200):
        company.seen(an_observation(scene="s0", npc=f"p{number}"))
    assert len(company._scenes.of(("realm", "s0"), dict)) <= 64
