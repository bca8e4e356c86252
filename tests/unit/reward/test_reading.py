"""What becomes of single messages: read into rows, passed over, or refused with a reason."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest

from hearthmind import ids
from hearthmind.bus.settle import Attempt
from hearthmind.bus.wire import MESSAGE_BYTES_MAX, encode
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.inference import Turn
from hearthmind.contracts.observation import Heard
from hearthmind.contracts.outcome import Executed, OutcomeObserved, ReplyRated
from hearthmind.contracts.policy import PolicyViolated
from hearthmind.contracts.wire import Unknown
from hearthmind.errors import HearthmindError, Malformed, TooLarge, UnknownVersion
from hearthmind.store.rows import DecisionRow, OutcomeRow
from hearthmind.testing.observations import an_observation
from services.reward.letters import game_of, letter_row
from services.reward.reading import Incoming, Misplaced, read

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


FIRST = Attempt(1, 10)


@dataclass
class Came:
    """A message as the bus delivers it."""

    subject: str
    data: bytes
    headers: dict[str, str] = field(default_factory=dict)
    stream: str = "EXPERIENCE"
    sequence: int = 7
    stored_s: float = 1_800_000_000.25
    attempt: Attempt = FIRST


def an_outcome(**changes: object) -> OutcomeObserved:
    outcome = OutcomeObserved(
        decision="d1", game="realm", npc="p1", kind="combat", executed=Executed(action="raid"), success=True
    )
    return msgspec.structs.replace(outcome, **changes)


def the_row(came: Came) -> DecisionRow | OutcomeRow:
    incoming = read(came)
    assert isinstance(incoming, Incoming)
    assert isinstance(incoming.row, DecisionRow | OutcomeRow)
    return incoming.row


def bodies(incoming: Incoming) -> dict[bytes, str]:
    """The big texts, by their keys."""
    return {row.key: row.body for row in incoming.documents}


def test_action_and_detail_are_halves_of_one_decision() -> None:
    observation = an_observation(
        id="d1",
        npc="p1",
        state=msgspec.Raw(b'{"wood": 12}'),
        texts=(Heard(speaker="ann", text="hello"), Heard(speaker="bob", text="bye")),
    )
    action = ActionChosen(
        decision="d1", game="realm", npc="p1", kind="combat", snapshot=3, action="raid", source="rules"
    )
    detail = DecisionMade(
        decision="d1",
        game="realm",
        npc="p1",
        kind="combat",
        attempt=1,
        epoch=5,
        partition=2,
        tier="critical",
        source="rules",
        observation=observation,
    )
    chosen = the_row(Came(ids.chosen_subject("realm", "p1"), encode(action), {"traceparent": SAMPLED}))
    made = read(Came(ids.decision_subject("realm", "p1"), encode(detail)))
    assert isinstance(made, Incoming)
    assert isinstance(made.row, DecisionRow)
    assert isinstance(chosen, DecisionRow)
    assert [text[2:] for text in made.texts] == [(0, "p1", "ann", "hello"), (1, "p1", "bob", "bye")]
    assert "hello" not in (made.row.observation or "")
    assert bodies(made)[made.row.state or b""] == '{"wood": 12}'
    assert made.row.features
    whole = made.row.and_also(chosen)
    assert whole == chosen.and_also(made.row)
    assert (whole.action, whole.epoch, whole.trace_id) == ("raid", 5, SAMPLED[3:35])


def test_an_unsampled_trace_is_not_noted() -> None:
    came = Came(ids.outcome_subject("realm", "p1"), encode(an_outcome()), {"traceparent": SAMPLED[:-1] + "0"})
    assert the_row(came).trace_id is None


@pytest.mark.parametrize(
    "subject",
    ["game.realm.outcome.p2", "game.other.outcome.p1", "mind.action.realm.p1", "mind.decision.realm.p1", "game.realm"],
)
def test_nobody_speaks_for_another(subject: str) -> None:
    with pytest.raises(Misplaced, match=r"game\.realm\.outcome\.p1"):
        read(Came(subject, encode(an_outcome())))


def test_a_game_can_not_send_actions() -> None:
    action = ActionChosen(
        decision="d1", game="realm", npc="p1", kind="combat", snapshot=3, action="raid", source="rules"
    )
    with pytest.raises(Misplaced):
        read(Came("game.realm.outcome.p1", encode(action)))


def test_a_message_from_the_future_is_passed_over() -> None:
    came = Came("game.realm.outcome.p1", b'{"type":"omen_seen","v":1,"game":"realm","score":3}')
    assert read(came) == Unknown(said="omen_seen")


def test_the_state_the_prompt_and_the_answer_are_documents_and_earlier_decisions_links() -> None:
    prompt = (Turn("system", "who you are"), Turn("user", "what now\0"))
    detail = DecisionMade(
        decision="d1",
        game="realm",
        npc="p1",
        kind="combat",
        attempt=1,
        epoch=5,
        partition=2,
        tier="critical",
        source="model",
        observation=an_observation(id="d1", npc="p1"),
        prompt=prompt,
        answer="words",
        related=("d0", "d0", "d1"),
    )
    made = read(Came(ids.decision_subject("realm", "p1"), encode(detail)))
    assert isinstance(made, Incoming)
    row = made.row
    assert isinstance(row, DecisionRow)
    said = bodies(made)
    turns = msgspec.json.decode(row.prompt or "")
    assert [(role, said[bytes.fromhex(key)]) for role, key in turns] == [
        ("system", "who you are"),
        ("user", "what now\ufffd"),
    ]
    assert said[row.answer or b""] == "words"
    assert '"name":"' in said[row.legal_actions or b""]
    assert row.related == '["d0"]'
    assert [link[1:4] for link in made.links] == [("d0", "d1", "recalls")]


def test_a_rating_and_a_violation_are_read() -> None:
    rated = ReplyRated(decision="d1", game="realm", npc="p1", rater="ann", score=0.5)
    row = read(Came(ids.rating_subject("realm", "p1"), encode(rated)))
    assert isinstance(row, Incoming)
    assert row.row[:6] == ("realm", "d1", "reply", "ann", "p1", 0.5)
    heard = an_observation(id="d1", npc="p1", texts=(Heard(speaker="ann", text="a secret"),))
    forbidden = PolicyViolated(
        decision="d1", game="realm", npc="p1", kind="chat", rule="spam", why="no", action="say", observation=heard
    )
    violation = read(Came(ids.violation_subject("realm", "p1"), encode(forbidden)))
    assert isinstance(violation, Incoming)
    assert "secret" not in str(violation.row)


@pytest.mark.parametrize("number", ["1e200000", "1E+100000", "-1e-100000", "1" * 150_000, "[1, 2.5e123456]"])
def test_a_number_that_postgres_can_not_read_is_refused(number: str) -> None:
    body = encode(an_outcome()).replace(b'"state_after":{}', b'"state_after":{"a":%s}' % number.encode())
    with pytest.raises(Malformed, match="Postgres can't store it"):
        read(Came("game.realm.outcome.p1", body))


@pytest.mark.parametrize("harmless", ['"x1e200000"', "1e300", '"' + "1" * 150_000 + '"'])
def test_what_only_looks_like_one_is_not(harmless: str) -> None:
    body = encode(an_outcome()).replace(b'"state_after":{}', b'"state_after":{"a":%s}' % harmless.encode())
    assert isinstance(read(Came("game.realm.outcome.p1", body)), Incoming)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", Malformed),
        (b"\xff\xfe", Malformed),
        (b"[1,2]", Malformed),
        (b'{"type":"outcome_observed"', Malformed),
        (encode(an_outcome()).replace(b'"p1"', b'"p.1"'), Malformed),
        (encode(an_outcome()).replace(b'"facts":{}', b'"facts":{"a":NaN}'), Malformed),
        (encode(an_outcome()).replace(b'"facts":{}', b'"facts":{"a":1e999}'), Malformed),
        (encode(an_outcome()).replace(b'"facts":{}', b'"facts":{"a":null}'), Malformed),
        (encode(an_outcome()).replace(b'"state_after":{}', b'"state_after":{"a":"\xff"}'), Malformed),
        (encode(an_outcome()).replace(b'"state_after":{}', rb'"state_after":{"a":"\ud800 half a pair"}'), Malformed),
        (encode(an_outcome()).replace(b'"state_after":{}', b'"state_after":' + b"[" * 5000 + b"]" * 5000), Malformed),
        (encode(an_outcome()).replace(b'"v":1', b'"v":9'), UnknownVersion),
        (encode(an_outcome()) + b" " * MESSAGE_BYTES_MAX, TooLarge),
    ],
)
def test_what_can_not_be_read_says_why(body: bytes, error: type[HearthmindError]) -> None:
    with pytest.raises(error):
        read(Came("game.realm.outcome.p1", body))


def test_what_postgres_has_no_word_for_is_replaced() -> None:
    state = rb'{"nul":"a\u0000b","whole":"\ud83d\ude00","slash":"\\u0000","both":"\\\u0000"}'
    outcome = an_outcome(
        facts={"said": "a\0b"}, state_after=msgspec.Raw(state), executed=Executed(action="raid", why="\0")
    )
    came = read(Came(ids.outcome_subject("realm", "p1"), encode(outcome)))
    assert isinstance(came, Incoming)
    assert isinstance(row := came.row, OutcomeRow)
    assert bodies(came)[row.state_after] == (
        r'{"nul":"a\ufffdb","whole":"\ud83d\ude00","slash":"\\u0000","both":"\\\ufffd"}'
    )
    assert msgspec.json.decode(row.facts) == {"said": "a\ufffdb"}
    assert row.why == "\ufffd"


def test_a_dead_letter_knows_where_it_died() -> None:
    headers = {
        "Nats-Msg-Id": "EXPERIENCE/42",
        "Hearthmind-Subject": "game.realm.outcome.p1",
        "Hearthmind-Reason": "b\0d",
        "Hearthmind-Delivered": "3",
        "odd": "\udc80",
    }
    row = letter_row(Came("dead.EXPERIENCE", b"\0\xff", headers, "DEAD"))
    assert row[:6] == ("realm", "EXPERIENCE", 42, "game.realm.outcome.p1", "b\ufffdd", 3)
    assert row.body == b"\0\xff"


@pytest.mark.parametrize("message_id", ["", "x", "x/", "/5", "x/y", "x/" + "9" * 30, "x/٣"])
def test_a_dead_letter_of_unknown_origin_is_kept_under_its_own_number(message_id: str) -> None:
    headers = {"Nats-Msg-Id": message_id, "Hearthmind-Delivered": "٣"}
    row = letter_row(Came("dead.X", b"", headers, "DEAD"))
    assert (row.game, row.stream, row.sequence, row.delivered) == ("", "DEAD", 7, 0)


@pytest.mark.parametrize(
    ("subject", "game"),
    [
        ("game.realm.outcome.p1", "realm"),
        ("mind.action.realm.p1", "realm"),
        ("observation.3.realm.p1.combat", "realm"),
        ("event.3.realm.p1.combat", "realm"),
        ("inference.request.critical.rules", ""),
        ("game", ""),
        ("", ""),
    ],
)
def test_the_game_of_a_subject(subject: str, game: str) -> None:
    assert game_of(subject) == game
