"""A thread that works on many answers: what the engines share that compute in this process.

The law: each piece of work that is given in ends exactly once, with a result, an error or because its asker left; chores, such
as loading an adapter, are done between two steps; of the rest the most urgent comes first, and of equals the one that waited
longest. But nothing is overtaken for ever: only by so many that came later, `OVERTAKEN_BY` for each step of urgency.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from services.inference_worker.engines import CannotServe

OVERTAKEN_BY = 8
"""A routine answer lets some seventy critical ones go before it: far more than an engine of one thread holds at a time, so that
among those it holds the most urgent comes first. Counted, not timed, so that it is the same for slow engines."""

T = TypeVar("T")
R = TypeVar("R")


class Work(Generic[T]):
    """Something that the thread is to do, and who waits for it."""

    def __init__(self, wanted: T, place: int) -> None:
        self.wanted = wanted
        self.place = place
        """Lower comes first."""
        self.left = False
        """Nobody waits any more."""
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[object] = self._loop.create_future()

    async def result(self) -> object:
        """What came of it; whoever is cancelled here takes the work away from the thread."""
        try:
            return await self._future
        finally:
            self.left = True

    def end(self, result: object = None, error: Exception | None = None) -> None:
        """From the thread: it is done."""
        self.left = True
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle, result, error)

    def _settle(self, result: object, error: Exception | None) -> None:
        if self._future.done():
            return
        if error is not None:
            self._future.set_exception(error)
        else:
            self._future.set_result(result)


class Bench(Generic[T]):
    """What waits for the thread, the most urgent first; `work` is called with it again and again."""

    def __init__(self, name: str, work: Callable[[Bench[T]], None]) -> None:
        self.ailment = ""
        self._ready = threading.Condition()
        self._chores: list[Work[Callable[[], object]]] = []
        self._waiting: list[tuple[int, int, Work[T]]] = []
        self._arrivals = itertools.count()
        self._closing = False
        self._work = work
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def do(self, chore: Callable[[], R]) -> R:
        """Runs a function between two steps."""
        work: Work[Callable[[], object]] = Work(chore, 0)
        with self._ready:
            self._refuse_when_over()
            self._chores.append(work)
            self._ready.notify()
        return await work.result()  # type: ignore[return-value]

    async def ask(self, wanted: T, urgency: int) -> object:
        """Waits until the thread has done it."""
        with self._ready:
            self._refuse_when_over()
            number = next(self._arrivals)
            work = Work(wanted, number + urgency * OVERTAKEN_BY)
            heapq.heappush(self._waiting, (work.place, number, work))
            self._ready.notify()
        return await work.result()

    def take(self, count: int) -> list[Work[T]]:
        """From the thread: the most urgent work, no longer waiting; what nobody waits for is dropped."""
        taken: list[Work[T]] = []
        with self._ready:
            while self._waiting and len(taken) < count:
                work = heapq.heappop(self._waiting)[2]
                if not work.left:
                    taken.append(work)
        return taken

    def more_urgent(self, than: Work[T]) -> bool:
        """From the thread: whether something waits that comes before this."""
        with self._ready:
            return bool(self._chores) or (bool(self._waiting) and self._waiting[0][0] < than.place)

    def give_back(self, work: Work[T]) -> None:
        """From the thread: goes on later, before its equals."""
        with self._ready:
            heapq.heappush(self._waiting, (work.place, -next(self._arrivals), work))

    async def close(self) -> None:
        """Ends the thread; what waits fails."""
        with self._ready:
            self._closing = True
            self._ready.notify()
        await asyncio.to_thread(self._thread.join, 10)

    def _refuse_when_over(self) -> None:
        if self._closing or self.ailment:
            raise CannotServe(why=self.ailment or "the engine is closing")

    def _run(self) -> None:
        try:
            while self._next():
                self._work(self)
        except Exception as error:  # nothing may end the thread in silence
            self.ailment = f"its thread ended: {type(error).__name__}: {error}"
        with self._ready:
            self._closing = True
            left: list[Work[T] | Work[Callable[[], object]]] = [work for _, _, work in self._waiting]
            left += self._chores
        for work in left:
            work.end(error=CannotServe(why=self.ailment or "the engine closed"))

    def _next(self) -> bool:
        """Waits for work and does the chores; False when the thread is to end."""
        with self._ready:
            self._ready.wait_for(lambda: self._chores or self._waiting or self._closing)
            chores, self._chores = self._chores, []
            if chores:  # so that what left holds nothing, such as an adapter that is to be unloaded
                self._waiting = [entry for entry in self._waiting if not entry[2].left]
                heapq.heapify(self._waiting)
            if self._closing:
                self._chores = chores
                return False
        for chore in chores:
            try:
                chore.end(chore.wanted())
            except Exception as error:  # it is the asker's
                chore.end(error=error)
        return True
