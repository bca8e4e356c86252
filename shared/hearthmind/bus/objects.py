"""Large things on the bus: an object-store bucket, read without making a consumer, so that readers need few rights.

What is stored under a content hash is checked against it when it is read; the caller says what hash it expects.
"""

from __future__ import annotations

import base64
import hashlib

import msgspec
from nats.aio.client import Client as Nats
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError, ObjectNotFoundError
from nats.js.object_store import ObjectStore

from hearthmind.errors import Unavailable


class _Meta(msgspec.Struct):
    nuid: str = ""
    chunks: int = 0
    deleted: bool = False


class ObjectMissing(Unavailable):
    """There is no object {name} in the bucket {bucket}; publish it again."""


async def fetch(nc: Nats, bucket: str, sha256: str, within_s: float = 60) -> bytes:
    """The object stored under its hash."""
    js, stream = nc.jetstream(timeout=within_s), f"OBJ_{bucket}"
    called = base64.urlsafe_b64encode(sha256.encode()).decode()
    try:
        said = await js.get_last_msg(stream, f"$O.{bucket}.M.{called}", direct=True)
    except NotFoundError:
        raise ObjectMissing(name=sha256, bucket=bucket) from None
    meta = msgspec.json.decode(said.data or b"{}", type=_Meta)
    if meta.deleted:
        raise ObjectMissing(name=sha256, bucket=bucket)
    parts: list[bytes] = []
    sequence, subject = 1, f"$O.{bucket}.C.{meta.nuid}"
    for _ in range(meta.chunks):
        try:
            part = await js.get_msg(stream, seq=sequence, subject=subject, direct=True, next=True)
        except JetStreamError as error:
            raise Unavailable(what=f"the object {sha256}", why=f"a part of it is gone ({error})") from error
        parts.append(part.data or b"")
        sequence = (part.seq or 0) + 1
    data = b"".join(parts)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Unavailable(what=f"the object {sha256}", why="what is stored there has another hash")
    return data


async def store(nc: Nats, bucket: str, data: bytes) -> str:
    """Stores an object under its hash, once, and returns the hash."""
    sha256 = hashlib.sha256(data).hexdigest()
    js = nc.jetstream(timeout=30)
    objects = ObjectStore(bucket, f"OBJ_{bucket}", js)
    try:
        await objects.get_info(sha256)
    except (ObjectNotFoundError, NotFoundError):
        await objects.put(sha256, data)
    return sha256
