"""What a provider may answer to a schema, and what is of no use to anybody."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearthmind import scripted
from hearthmind.contracts.observation import Observation
from hearthmind.prompting import answer_schema, answer_text
from hearthmind.testing.observations import an_observation, observations
from services.inference_worker.engines.heeding import problem

VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.sampled_from(["a", "b", "c"]),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inside, max_size=3),
    max_leaves=6,
)
LEAVES: Any = (
    st.fixed_dictionaries({"type": st.sampled_from(["string", "boolean", "null", "array", "object"])})
    | st.builds(lambda low, span: {"type": "integer", "minimum": low, "maximum": low + span}, *[st.integers(0, 5)] * 2)
    | st.builds(lambda low: {"type": "number", "minimum": low}, st.floats(-5, 5))
    | st.fixed_dictionaries({"enum": st.lists(st.sampled_from(["a", "b", 1]), min_size=1)})
)
SCHEMAS: Any = st.recursive(
    LEAVES,
    lambda inside: (
        st.fixed_dictionaries({"anyOf": st.lists(inside, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"type": st.just("array"), "items": inside})
        | st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(st.sampled_from("xyz"), inside, max_size=3)}
        )
    ),
    max_leaves=5,
)


@given(observations())
def test_every_legal_answer_is_of_use(observation: Observation) -> None:
    assert problem(answer_text(observation, scripted.choose(observation)), answer_schema(observation)) == ""


@given(st.dictionaries(st.sampled_from("xyz"), VALUES, max_size=3), st.dictionaries(st.sampled_from("xyz"), SCHEMAS))
def test_it_agrees_with_a_whole_validator_where_nothing_is_left_out(said: Any, inside: Any) -> None:
    schema = {"type": "object", "properties": inside}
    refuses = not jsonschema.Draft202012Validator(schema).is_valid(said)
    assert bool(problem(json.dumps(said), json.dumps(schema))) == refuses


@pytest.mark.parametrize(
    "said,why",
    [
        ('{"action":"wait"}', ""),
        ('Surely: ```json\n{"action": "wait", "mood": "calm"}\n```', ""),
        ("{}", ""),
        ('{"action":"surrender"}', "not allowed"),
        ('{"action":"build","arguments":{"what":"mill","levels":4}}', "not allowed"),
        ('{"action":"wa', "no JSON object"),
        ("wait", "no JSON object"),
        ('["wait"]', "no JSON object"),
    ],
)
def test_what_is_of_no_use_is_named(said: str, why: str) -> None:
    found = problem(said, answer_schema(an_observation()))
    assert (why in found) if why else found == ""
