"""Who gets which partition: everybody computes the same, evenly, and a change moves only few."""

from hypothesis import given
from hypothesis import strategies as st

from hearthmind.bus.leases import share

members = st.sets(st.text("abcdef0123456789", min_size=4, max_size=8), min_size=1, max_size=6)


@given(members, st.integers(1, 32))
def test_each_partition_has_one_owner_and_nobody_has_too_many(members: set[str], partitions: int) -> None:
    shares = [share(member, members, partitions) for member in members]
    assert sorted(partition for each in shares for partition in each) == list(range(partitions))
    assert max(map(len, shares)) <= -(-partitions // len(members))


@given(members, st.integers(1, 32))
def test_a_member_need_not_have_heard_of_itself(members: set[str], partitions: int) -> None:
    for member in members:
        assert share(member, members - {member}, partitions) == share(member, members, partitions)
