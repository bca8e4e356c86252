"""What it costs that each game is an account of its own: the same publishes by a user of the platform's account, and by a game.

    python benchmarks/game_accounts.py [--repeats 5] [--messages 5000]

One broker, two users with the same rights to the same subjects: one beside the services, whose messages stay in the account,
and one in an account of its own, whose messages are translated on their way in and the acknowledgements on their way out. Many
publishes at once for the rate, one after the other for the time of each. Printed are medians and, of the ratios within a
repeat, the median with the lowest and the highest.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path

import nats

from hearthmind import flow, ids
from hearthmind.bus.accounts import PROVISION, authorization, new_passwords
from hearthmind.bus.provision import provision
from hearthmind.bus.publish import Publisher
from hearthmind.embedded.nats import EmbeddedNats, NatsConfig
from hearthmind.testing.servers import nats_server

GAME = "realm"
AT_ONCE = 500
ALONE = 500
BODY = b"{}" * 500


async def measured(server: EmbeddedNats, user: str, password: str, messages: int) -> tuple[float, float]:
    """Publishes per second, and the median time of one in microseconds."""
    nc = await nats.connect(server.url, user=user, password=password, inbox_prefix=flow.inbox_prefix(user))
    publisher = await Publisher(nc).start()
    subjects = [ids.observation_subject(GAME, f"p{number}", "combat") for number in range(AT_ONCE)]
    begun_s = time.perf_counter()
    for _ in range(messages // AT_ONCE):
        await asyncio.gather(*(publisher.publish(subject, BODY, ids.new_decision_id()) for subject in subjects))
    rate = messages // AT_ONCE * AT_ONCE / (time.perf_counter() - begun_s)
    each_s = []
    for _ in range(ALONE):
        begun_s = time.perf_counter()
        await publisher.publish(subjects[0], BODY, ids.new_decision_id())
        each_s.append(time.perf_counter() - begun_s)
    await publisher.stop()
    await nc.close()
    return rate, 1e6 * statistics.median(each_s)


async def main(repeats: int, messages: int) -> None:
    """Prints both users and their ratios."""
    passwords = new_passwords((GAME,))
    config = NatsConfig(sync_interval="1m", authorization=authorization((GAME,), passwords))
    within, apart = PROVISION, flow.game_user(GAME)
    found: dict[str, list[tuple[float, float]]] = {within: [], apart: []}
    with tempfile.TemporaryDirectory(prefix="hearthmind-") as folder:
        async with nats_server(Path(folder) / "nats", config) as server:
            nc = await nats.connect(server.url, user=PROVISION, password=passwords[PROVISION])
            await provision(nc)
            await nc.close()
            for _ in range(repeats):
                for user in random.sample((within, apart), 2):
                    found[user].append(await measured(server, user, passwords[user], messages))
    for column, name in enumerate(("publishes/s", "µs each")):
        medians = {user: statistics.median(each[column] for each in found[user]) for user in found}
        pairs = zip(found[apart], found[within], strict=True)
        ratios = sorted(mine[column] / theirs[column] for mine, theirs in pairs)
        spread = f"{statistics.median(ratios):.2f} [{ratios[0]:.2f}-{ratios[-1]:.2f}]"
        print(f"{name:<12} within {medians[within]:>8,.0f}   apart {medians[apart]:>8,.0f}   ratio {spread}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--messages", type=int, default=5_000)
    asked = parser.parse_args()
    asyncio.run(main(asked.repeats, asked.messages))
