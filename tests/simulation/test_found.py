"""What the simulator has found, on a real NATS: each stays mended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hearthmind import ids, scripted
from hearthmind.acting import action_of
from hearthmind.bus.wire import encode
from hearthmind.contracts.action import MODEL
from hearthmind.testing.observations import an_observation

from ..service.rig import Rig, rig_in


@pytest.fixture
async def rig(folder: Path) -> AsyncIterator[Rig]:
    async with rig_in(folder) as rig, rig.inferring(), rig.deciding():
        await rig.until_owned()
        yield rig


async def test_beside_the_action_of_an_attempt_stands_no_answer_of_another(rig: Rig) -> None:
    """The owner of a partition was killed after its action and before its detail; the next one tells what it knows."""
    seen = an_observation(game="realm", npc="a", kind="combat", answer_within_ms=30_000)
    acted = action_of(seen, scripted.choose(seen), MODEL, attempt=1)
    message_id = ids.message_id("realm", "a", seen.id)
    await rig.publisher.publish(ids.chosen_subject("realm", "a"), encode(acted), message_id)
    await rig.say(ids.observation_subject("realm", "a", "combat"), encode(seen))
    detail = await rig.detail("realm", "a")
    assert (detail.decision, detail.source, detail.observation) == (seen.id, MODEL, seen)
    assert (detail.answer, detail.worker, detail.tokens_out) == ("", "", 0)
    await rig.until_held(0, "OBSERVATION")
    assert len(await rig.actions("realm")) == 1
