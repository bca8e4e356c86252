"""Big texts by hash: what many decisions share is kept once a day, and goes with its day.

A key is the day in 2 bytes and 14 bytes of SHA-256, so that an index grows at its end, partitions are of one day, and nobody
has to count who still needs a text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from functools import lru_cache

from sqlalchemy import bindparam, select
from sqlalchemy.types import ARRAY, LargeBinary

from hearthmind.store.engine import Connection
from hearthmind.store.tables import documents

_DAY_BYTES, _HASH_BYTES = 2, 14
_DAY_S = 24 * 3600
_EPOCH = date(1970, 1, 1)


_SHARED_MAX, _SHARED_CHARACTERS_MAX = 512, 8 * 1024
"""So many hashes are remembered of texts that come again and again, and so long these may be."""


def key_of(body: str, at_s: float, *, is_shared: bool = False) -> bytes:
    """The key of a text that was said at this time; of one that many share, the hash is remembered."""
    day = int(at_s // _DAY_S).to_bytes(_DAY_BYTES, "big")
    return day + (_shared_hash(body) if is_shared and len(body) <= _SHARED_CHARACTERS_MAX else _hash(body))


def _hash(body: str) -> bytes:
    return hashlib.sha256(body.encode()).digest()[:_HASH_BYTES]


_shared_hash = lru_cache(maxsize=_SHARED_MAX)(_hash)


def day_of(key: bytes) -> date:
    """The day that a key is of."""
    return _EPOCH + timedelta(days=int.from_bytes(key[:_DAY_BYTES], "big"))


_BODIES = select(documents.c.key, documents.c.body).where(
    documents.c.game == bindparam("of_game"), documents.c.key == bindparam("keys", type_=ARRAY(LargeBinary)).any_()
)


async def bodies_of(connection: Connection, game: str, keys: Iterable[bytes | None]) -> Mapping[bytes, str]:
    """The texts of a game with these keys; those that are gone are not among them."""
    wanted = sorted({key for key in keys if key})
    if not wanted:
        return {}
    found = await connection.execute(_BODIES, {"of_game": game, "keys": wanted})
    return {row.key: row.body for row in found}
