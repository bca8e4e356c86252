"""Who is frozen and who is banned: NPCs whose minds are not asked, and who do nothing but what is harmless.

Pure: the owner of a partition knows at once, and the bucket MINDS is the memory of it beyond this process. A freeze is kept
under `freeze.<game>.<npc>` and ends by itself, a ban under `ban.<game>.<npc>` until it is lifted.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hearthmind.minds import Ban, Freeze, key_of

FROZEN_MAX = 100_000
"""More NPCs than a process decides for within the time of a freeze; beyond, those that end first are forgotten."""


class Standing:
    """Times are on the broker's clock, in seconds since 1970: another process reads the same ones."""

    def __init__(self) -> None:
        self._freezes: dict[str, Freeze] = {}
        self._bans: dict[str, Ban] = {}

    def why_still(self, game: str, npc: str, now_s: float) -> str:
        """Why this NPC's mind is not asked now; empty where it is free."""
        if not self._freezes and not self._bans:
            return ""
        if ban := self._bans.get(key_of("ban", game, npc)):
            return f"it is banned: {ban.why}"
        key = key_of("freeze", game, npc)
        freeze = self._freezes.get(key)
        if freeze is None:
            return ""
        if freeze.until_s > now_s:
            return f"it is frozen: {freeze.rule}"
        del self._freezes[key]
        return ""

    def freeze(self, game: str, npc: str, freeze: Freeze) -> tuple[str, bytes]:
        """It does nothing but wait until then; returns what the bucket is to be told: key and value."""
        key = key_of("freeze", game, npc)
        self._keep(key, freeze)
        return key, msgspec.json.encode(freeze)

    def heard(self, key: str, value: bytes, now_s: float) -> None:
        """The bucket has this under the key; what can't be read, and an empty value, is nothing."""
        sort = key.partition(".")[0]
        try:
            if sort == "ban" and value:
                self._bans[key] = msgspec.json.decode(value, type=Ban)
            elif sort == "ban":
                self._bans.pop(key, None)
            elif sort == "freeze" and value:
                freeze = msgspec.json.decode(value, type=Freeze)
                if freeze.until_s > now_s:
                    self._keep(key, freeze)
            elif sort == "freeze":
                self._freezes.pop(key, None)
        except (msgspec.MsgspecError, UnicodeError):
            return

    def heard_all(self, entries: Mapping[str, bytes], now_s: float) -> None:
        """The same for a whole copy of the bucket."""
        for key, value in entries.items():
            self.heard(key, value, now_s)

    def _keep(self, key: str, freeze: Freeze) -> None:
        self._freezes.pop(key, None)
        self._freezes[key] = freeze
        while len(self._freezes) > FROZEN_MAX:
            del self._freezes[next(iter(self._freezes))]
