"""docs/FLOW.md: the tables of flow.py, for reading."""

from __future__ import annotations

from hearthmind import flow

INTRODUCTION = """# The flow

One observation's way round, hop by hop. This page is written by `./just reference` from
[`shared/hearthmind/flow.py`](../shared/hearthmind/flow.py), and a test keeps it in step.
"""


def flow_as_markdown(partitions: int = 16) -> str:
    """Hops, streams, consumers and permissions."""
    lines = [INTRODUCTION, *_hops(), "", *_streams(), "", *_consumers(partitions), "", *_permissions()]
    return "\n".join(lines).rstrip() + "\n"


def _hops() -> list[str]:
    lines = ["| subject | message | from | to | stream |", "| --- | --- | --- | --- | --- |"]
    for hop in flow.HOPS:
        message = f"`{hop.message.__name__}`" if hop.message else "(the body as it came)"
        stream = f"`{hop.stream}`" if hop.stream and "<" in hop.stream else hop.stream or "none"
        lines.append(
            f"| `{hop.subject}` | {message} | {', '.join(hop.producers)} | {', '.join(hop.consumers)} | {stream} |"
        )
    return [*lines, "", *(f"- `{hop.subject}`: {hop.says}" for hop in flow.HOPS)]


def _streams() -> list[str]:
    lines = ["## Streams", "", "| stream | kept | retention | when full | limits |", "| --- | --- | --- | --- | --- |"]
    for stream in flow.STREAMS:
        limits = [f"{stream.bytes_max // flow.MIB} MiB"]
        limits += [f"{stream.messages_max:,} messages"] if stream.messages_max > 0 else []
        limits += ["the newest per subject"] if stream.newest_per_subject else []
        limits += [f"from {', '.join(stream.sources)}"] if stream.sources else []
        kept = f"{stream.storage}, {_span(stream.kept_s)}"
        lines.append(f"| {stream.name} | {kept} | {stream.retention} | {stream.when_full} | {'; '.join(limits)} |")
    return [*lines, "", *(f"- {stream.name}: {stream.says}" for stream in flow.STREAMS)]


def _consumers(partitions: int) -> list[str]:
    lines = ["## Consumers", "", f"With {partitions} partitions and a set for every pool.", ""]
    lines += ["| stream | consumer | service | acknowledged within | in flight | deliveries |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for consumer in flow.CONSUMERS:
        numbers = f"{consumer.ack_wait_s:g} s | {consumer.pending_max:,} | {consumer.deliveries_max}"
        lines.append(f"| {consumer.stream} | `{consumer.name}` | {consumer.service} | {numbers} |")
    return lines


def _permissions() -> list[str]:
    lines = ["## Permissions", "", "What each user of the broker may do; everything else is refused.", ""]
    for user in (*flow.PARTS, "game"):
        may = flow.game_permissions("<game>") if user == "game" else flow.service_permissions(user)
        lines += [f"### {user}", "", f"- publish: {_code(may.publish)}", f"- subscribe: {_code(may.subscribe)}", ""]
    return lines


def _code(subjects: tuple[str, ...]) -> str:
    return ", ".join(f"`{subject}`" for subject in subjects)


def _span(seconds: float) -> str:
    if seconds >= flow.DAY_S:
        return f"{seconds / flow.DAY_S:g} d"
    return f"{seconds:g} s"
