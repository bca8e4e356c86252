"""Habits in the real decision service: a model's answer that came off and was worth it is done again, without a worker."""

from __future__ import annotations

from pathlib import Path

from hearthmind import ids
from hearthmind.bus.wire import encode
from hearthmind.client import Client, Decision, connect
from hearthmind.contracts.action import CACHE, MODEL
from hearthmind.contracts.outcome import OutcomesStored
from hearthmind.testing.observations import BUILD, WAIT
from hearthmind.testing.waiting import until
from tests.service.rig import PATIENT_S, rig_in

TRIAGE = "rules: [{model: rules_scripted, reuse: 0.9, why: What came off is done again.}]"


async def test_what_came_off_is_done_again_also_when_no_worker_is_there(folder: Path) -> None:
    file = folder / "triage.yaml"
    file.write_text(TRIAGE)
    async with (
        rig_in(folder) as rig,
        rig.deciding(triage="", HEARTHMIND_DECISION__TRIAGE_RULES=str(file)),
        connect(rig.server.url, game="castle") as mind,
    ):
        await rig.until_owned()
        async with rig.inferring():
            first = await ask(mind)
            assert first.source == MODEL
            await mind.report(first, success=True)
            stored = OutcomesStored(game="castle", decisions=(first.id,), rewards={first.id: 0.7})
            await rig.nc.publish(ids.stored_subject("castle"), encode(stored))
        again: list[Decision] = []

        async def by_habit() -> bool:
            again.append(await ask(mind))
            return again[-1].source == CACHE

        await until(by_habit)
    assert (again[-1].action, again[-1].arguments) == (first.action, first.arguments)
    assert again[-1].chosen.why.startswith(f"as in {first.id}, which came off")


async def ask(mind: Client) -> Decision:
    return await mind.observe(
        npc="a", kind="patrol", legal_actions=(WAIT, BUILD), state={"hour": 3}, answer_within_s=PATIENT_S
    )
