"""The table of the flow: what it says and what it allows."""

from hearthmind import flow
from hearthmind.bus.accounts import authorization, new_passwords, users
from hearthmind.bus.provision import stream_config


def test_every_hop_has_its_stream_and_every_stream_a_hop() -> None:
    named = {hop.stream for hop in flow.HOPS if hop.stream}
    streams = {stream.name for stream in flow.STREAMS}
    assert {name for name in named if "<" not in name} <= streams
    assert all(name in named or name.startswith("INFERENCE_") for name in streams)


def test_everything_is_bounded() -> None:
    for stream in flow.STREAMS:
        assert stream.bytes_max > 0
        assert stream.kept_s > 0
        assert stream_config(stream, 16).max_bytes == stream.bytes_max
    assert all(consumer.pending_max > 0 and consumer.deliveries_max > 0 for consumer in flow.CONSUMERS)


def test_actions_are_de_duplicated_for_longer_than_any_deadline() -> None:
    longest_s = 300
    assert flow.stream_named("ACTION").duplicates_s > longest_s


def test_a_game_speaks_for_itself_only() -> None:
    may = flow.game_permissions("chess")
    assert all(subject.startswith("game.chess.") for subject in may.publish)
    assert all(subject.startswith(("game.chess.", "_INBOX_game_chess.")) for subject in may.subscribe)


def test_services_may_not_change_streams() -> None:
    for service in flow.SERVICES:
        allowed = flow.service_permissions(service).publish
        assert not [subject for subject in allowed if "STREAM" in subject or "CREATE" in subject or subject == ">"]


def test_two_priorities_share_a_tier() -> None:
    assert [flow.tier_of(priority) for priority in range(11)] == (
        ["critical"] * 3 + ["strategic"] * 2 + ["social"] * 2 + ["routine"] * 4
    )


def test_the_brokers_users_are_those_of_the_table() -> None:
    games = ("realm", "chess")
    passwords = new_passwords(games)
    assert set(users(games)) == {"provision", *flow.PARTS, "game_realm", "game_chess"} == set(passwords)
    text = authorization(games, passwords)
    assert all(password in text for password in passwords.values())
    assert new_passwords(games, passwords) == passwords
