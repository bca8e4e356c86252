"""Servers that speak as the hub and as Ollama do, as far as fetching a model goes, on this machine."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

COMMIT = "c0ffee" * 6 + "c0ff"
TOKEN = "hf_accepted"


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    """The address of the app."""
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@dataclass
class Hub:
    """A hub with one repository."""

    name: str
    files: Mapping[str, bytes]
    is_gated: bool = False
    holds: str = ""
    """It sends half of this file, and then nothing until it is let go."""
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    fetched: list[str] = field(default_factory=list)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/api/models/{owner}/{name}", self._said)
        app.router.add_get("/api/models/{owner}/{name}/revision/{revision}", self._said)
        app.router.add_get("/api/models/{owner}/{name}/tree/{revision}", self._tree)
        app.router.add_get("/{owner}/{name}/resolve/{revision}/{file:.+}", self._file)
        return app

    def _refused(self, request: web.Request, *, opens_file: bool) -> web.Response | None:
        if f"{request.match_info['owner']}/{request.match_info['name']}" != self.name:
            return web.json_response({"error": "no"}, status=404, headers={"X-Error-Code": "RepoNotFound"})
        if opens_file and self.is_gated and request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.Response(status=401, headers={"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"})
        return None

    async def _said(self, request: web.Request) -> web.Response:
        siblings = [{"rfilename": name} for name in self.files]
        return self._refused(request, opens_file=False) or web.json_response(
            {"_id": "1", "id": self.name, "modelId": self.name, "sha": COMMIT, "private": False, "siblings": siblings}
        )

    async def _tree(self, request: web.Request) -> web.Response:
        entries = [
            {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for name, data in self.files.items()
        ]
        return self._refused(request, opens_file=False) or web.json_response(entries)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["file"]
        if refused := self._refused(request, opens_file=True):
            return refused
        if name not in self.files:
            return web.Response(status=404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        data = self.files[name]
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'}
        response = web.StreamResponse(headers={**headers, "Content-Length": str(len(data))})
        await response.prepare(request)
        if request.method == "GET":
            self.fetched.append(name)
            half = len(data) // 2
            await response.write(data[:half])
            if name == self.holds:
                await self.let_go.wait()
            await response.write(data[half:])
        return response


@dataclass
class Ollama:
    """An Ollama that pulls one model, in steps; broken off, it goes on where it was."""

    model: str
    size: int
    breaks_at: int = 0
    has: int = 0
    pulled: list[str] = field(default_factory=list)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/api/version", self._version)
        app.router.add_post("/api/pull", self._pull)
        return app

    async def _version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": "0.9.9"})

    async def _pull(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)

        async def say(**line: object) -> None:
            await response.write(json.dumps(line).encode() + b"\n")

        self.pulled.append(asked["model"])
        await say(status="pulling manifest")
        if asked["model"] != self.model:
            await say(error="pull model manifest: file does not exist")
            return response
        while self.has < self.size:
            self.has = min(self.size, self.has + self.size // 4)
            await say(status="pulling 6a0746a1ec1a", digest="sha256:6a07", total=self.size, completed=self.has)
            if self.breaks_at and self.has >= self.breaks_at:
                self.breaks_at = 0
                assert request.transport
                request.transport.abort()
                return response
        await say(status="verifying sha256 digest")
        await say(status="success")
        return response
