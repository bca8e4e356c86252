"""A server that speaks the OpenAI protocol and misbehaves as it is told, over real sockets."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

KEY = "sk-never-to-be-seen-1234"
USAGE = {
    "choices": [],
    "usage": {"prompt_tokens": 100, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 64}},
}


class Wayward:
    """A server that behaves as it is told, one answer after the other; the last one again and again."""

    def __init__(self, says: str = "wait") -> None:
        self.says = says
        """Its answer, where it gives one."""
        self.rest_s = "0.05"
        """What it asks for where it is busy."""
        self.behaviours: list[str] = ["well"]
        self.asked: list[dict[str, object]] = []
        self.asked_s: list[float] = []
        self.headers: list[dict[str, str]] = []
        self.open = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        self.asked_s.append(time.monotonic())
        self.headers.append(dict(request.headers))
        behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        self.open += 1
        try:
            return await self._behave(behaviour, request)
        finally:
            self.open -= 1

    async def _behave(self, behaviour: str, request: web.Request) -> web.StreamResponse:
        if behaviour == "hangs":
            await asyncio.Event().wait()
        if behaviour == "busy":
            return web.Response(status=429, headers={"Retry-After": self.rest_s}, text="slow down")
        if behaviour == "500":
            return web.Response(status=500, text=f"it broke, and it tells of {KEY}")
        if behaviour == "400":
            return web.Response(status=400, text="no such parameter")
        if behaviour == "page":
            return web.Response(text="<html>please log in</html>", content_type="text/html")
        if behaviour == "whole":
            return web.json_response({"choices": [{"message": {"content": self.says}, "finish_reason": "stop"}]})
        if behaviour == "nothing":
            return web.json_response({"choices": [{"message": {"content": None}, "finish_reason": "stop"}]})
        return await self._streamed(behaviour, request)

    async def _streamed(self, behaviour: str, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        words = {"choices": [{"delta": {"content": self.says[:2]}}]}
        more = {"choices": [{"delta": {"content": self.says[2:]}, "finish_reason": "stop"}]}
        await response.write(f"data: {json.dumps(words)}\n\n".encode())
        if behaviour == "half":
            await response.write(b'data: {"choices": [{"del\n\n')
        elif behaviour == "closes":
            assert request.transport is not None
            request.transport.close()
        elif behaviour != "breaks off":
            for part in (more, USAGE):
                await response.write(f": a comment\ndata: {json.dumps(part)}\n\n".encode())
            await response.write(b"data: [DONE]\n\n")
        return response


@asynccontextmanager
async def wayward(says: str = "wait") -> AsyncIterator[Wayward]:
    """The server, from its start to its end."""
    server, app = Wayward(says), web.Application()
    app.router.add_post("/v1/chat/completions", server.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield server
    finally:
        await runner.cleanup()
