"""Messages that are not read to their end: the rows of those that are, and the same refusals."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given

from hearthmind.bus.wire import MESSAGE_BYTES_MAX, decode, encode
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.observation import Event, LegalAction, Observation
from hearthmind.store.storable import storable_json
from hearthmind.testing.observations import an_observation, observations
from services.reward.skimming import KNOWN_BYTES_MAX, Skimmed, skim


def a_detail(observation: Observation) -> bytes:
    whose = {"decision": "d1", "game": "realm", "npc": "p1", "kind": "combat", "tier": "critical", "source": "rules"}
    return encode(
        msgspec.convert({**whose, "attempt": 1, "epoch": 5, "partition": 2, "observation": observation}, DecisionMade)
    )


def skimmed(data: bytes) -> Skimmed:
    message = skim(data)
    assert isinstance(message, DecisionMade)
    assert isinstance(message.observation, Skimmed)
    return message.observation


@given(observations())
def test_legal_actions_are_stored_as_if_they_were_read(observation: Observation) -> None:
    data = a_detail(observation)
    whole = decode(data, DecisionMade).observation.legal_actions
    for _ in range(2):
        assert skimmed(data).legal_json == storable_json(msgspec.json.encode(whole))


def test_what_is_left_out_is_filled_in_and_what_is_unknown_left_out() -> None:
    brief = a_detail(an_observation(legal_actions=(LegalAction(name="wait"),)))
    start = brief.index(b'"legal_actions":[') + len(b'"legal_actions":[')
    end = brief.index(b"]", start)
    other = brief[:start] + b' {"later": 1, "name": "wait"} ' + brief[end:]
    assert skimmed(other).legal_json == skimmed(brief).legal_json


def test_an_event_stays_one_and_long_menus_are_read_each_time() -> None:
    menu = tuple(LegalAction(name=f"a{number}", description="x" * 1_000) for number in range(20))
    assert len(encode(menu[0])) * len(menu) > KNOWN_BYTES_MAX
    event = msgspec.convert(msgspec.structs.asdict(an_observation(legal_actions=menu)), Event)
    seen = skimmed(a_detail(event))
    assert seen.__struct_config__.tag == "event"
    assert seen.legal_json == msgspec.json.encode(menu).decode()


@pytest.mark.parametrize(
    "menu",
    [
        b"[]",
        b"{}",
        b"null",
        b'[{"name":"wait"},{"name":"wait"}]',
        b'[{"name":"w.t"}]',
        b'[{"name":"wait","appeal":NaN}]',
        b'[{"name":"wait","description":"\xff"}]',
        b'[{"name":"wait","parameters":{"n":{"type":"integer","minimum":2,"maximum":1}}}]',
        b"[" + b",".join(b'{"name":"a%d"}' % number for number in range(257)) + b"]",
        b"[" * 5_000 + b"]" * 5_000,
    ],
)
def test_what_is_no_menu_is_left_to_the_whole_reading(menu: bytes) -> None:
    data = a_detail(an_observation())
    legal = msgspec.json.encode(decode(data, DecisionMade).observation.legal_actions)
    assert data.count(legal) == 1
    assert skim(data.replace(legal, menu)) is None


def test_so_are_sizes_and_versions() -> None:
    data = a_detail(an_observation())
    assert skim(data + b" " * MESSAGE_BYTES_MAX) is None
    assert skim(data.replace(b'"v":1', b'"v":9', 1)) is None
