"""Each law is missed when it does not hold, and only then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from .laws import Account, Kept, broken
from .ledger import Executed

DONE = Executed("build", by_client=False, asked_s=100.0, took_s=0.1, allowed_s=2.0)
FINE = Account(
    observations=2,
    executed={"a": DONE, "b": replace(DONE, by_client=True, took_s=2.0)},
    reported=2,
    unconfirmed=frozenset(),
    kept={"a": Kept(1, 1, "build", False), "b": Kept(1, 1, "build", True)},
)


def with_kept(**rows: Kept) -> Account:
    return replace(FINE, kept={**FINE.kept, **rows})


def test_where_all_is_well_nothing_is_broken() -> None:
    assert broken(FINE) == []


@pytest.mark.parametrize(
    ("account", "law"),
    [
        (replace(FINE, observations=3), "one action: asked and executed"),
        (replace(FINE, reported=1), "one action: executed and reported"),
        (replace(FINE, twice=("a",)), "one action: executed again"),
        (replace(FINE, illegal=("a: no such action",)), "legal: executed"),
        (replace(FINE, refused=1), "legal: refused"),
        (replace(FINE, overdue=("a",)), "in time"),
        (replace(FINE, unconfirmed=frozenset("a")), "drained"),
        (with_kept(a=Kept(1, 0, None, None)), "nothing lost"),
        (with_kept(a=Kept(2, 1, "build", False)), "nothing twice: several outcomes"),
        (with_kept(a=Kept(1, 2, "build", False)), "nothing twice: several experiences"),
        (with_kept(a=Kept(1, 1, "wait", False)), "as executed"),
        (with_kept(a=Kept(1, 1, "build", True)), "as executed"),
        (with_kept(b=Kept(1, 1, "build", True, state=b"another")), "as seen"),
        (with_kept(c=Kept(1, 1, "build", False)), "nothing made up"),
        (replace(FINE, dead_letters=("it is poison",)), "nothing terminated"),
        (replace(FINE, not_alive=("reward",)), "alive"),
    ],
)
def test_each_law_is_missed(account: Account, law: str) -> None:
    (found,) = broken(account)
    assert found.startswith(law)


def test_what_was_confirmed_must_be_kept() -> None:
    gone = replace(FINE, kept={"b": FINE.kept["b"]})
    assert [law.partition(":")[0] for law in broken(gone)] == ["nothing confirmed is lost", "nothing lost"]
    assert [law.partition(":")[0] for law in broken(replace(gone, unconfirmed=frozenset("a")))] == ["drained"]


def test_with_the_brokers_folder_only_its_own_part_may_go() -> None:
    unknown = {**FINE.kept, "a": Kept(1, 1, "build", False, is_unknown=True)}
    deleted = replace(FINE, taken=((95.0, 103.0),), kept=unknown)
    assert broken(deleted) == []
    assert deleted.gone == ["a"]
    assert broken(replace(deleted, kept={**unknown, "a": Kept(1, 0, None, None)})) != []
    assert broken(replace(deleted, kept={"b": FINE.kept["b"]})) != []
    assert broken(replace(deleted, taken=((50.0, 99.0), (101.0, 103.0)))) != []
