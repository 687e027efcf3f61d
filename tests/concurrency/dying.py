"""What processes share whose children kill themselves at a statement of choice.

`serve` reads lines `WHEN N` from the input and forks a child for each. The child dies by SIGKILL `before` it sends its
N-th statement, when it was `sent` and no answer has come, or `after` the answer; `never 0` lets it finish. The line that
answers is what the child's work returned, or `killed`. `dying_process` is the other side: it runs such a module.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

ROOT = Path(__file__).parents[2]
STATEMENTS = ("execute", "fetch", "fetchrow", "fetchval")


class Death:
    """Counts the statements of this process, and kills it at one of them."""

    def __init__(self, when: str, at: int) -> None:
        self.statements = 0
        self._when = when
        self._at = at

    def watch(self, *names: str, passes: Callable[[tuple[Any, ...]], bool] = lambda _: False) -> None:
        """Count the calls of these methods of every connection from now on.

        Args:
            names: The methods.
            passes: Which calls are not counted, by their arguments.
        """
        for name in names:
            self._watch_one(name, passes)

    def _watch_one(self, name: str, passes: Callable[[tuple[Any, ...]], bool]) -> None:
        original = getattr(asyncpg.Connection, name)

        async def counted(connection: Any, *args: Any, **kwargs: Any) -> Any:
            if passes(args):
                return await original(connection, *args, **kwargs)
            self.statements += 1
            mine = self.statements
            self._die_if("before", mine)
            if (self._when, self._at) == ("sent", mine):
                sending = asyncio.ensure_future(original(connection, *args, **kwargs))
                await asyncio.sleep(0)
                self._die_if("sent", mine)
                return await sending
            result = await original(connection, *args, **kwargs)
            self._die_if("after", mine)
            return result

        setattr(asyncpg.Connection, name, counted)

    def _die_if(self, when: str, number: int) -> None:
        if (self._when, self._at) == (when, number):
            os.kill(os.getpid(), signal.SIGKILL)


def serve(work: Callable[[Death], Coroutine[Any, Any, str]]) -> None:
    """Do the work in a child for each line of the input, and answer each with a line."""
    for line in sys.stdin:
        when, at = line.split()
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(writing, asyncio.run(work(Death(when, int(at)))).encode())
            os._exit(0)
        os.close(writing)
        _, status = os.waitpid(pid, 0)
        answer = os.read(reading, 100).decode()
        os.close(reading)
        if os.WIFSIGNALED(status):
            answer = "killed"
        sys.stdout.write(f"{answer or 'failed'}\n")
        sys.stdout.flush()


@asynccontextmanager
async def dying_process(module: str, *arguments: str) -> AsyncIterator[Callable[[str, int], Awaitable[str]]]:
    """Run a module of this folder that serves; give a function that has a child die `when` and at which statement."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.concurrency.{module}", *arguments),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    sent, answers = process.stdin, process.stdout
    assert sent is not None
    assert answers is not None

    async def run(when: str, at: int) -> str:
        sent.write(f"{when} {at}\n".encode())
        async with asyncio.timeout(120):
            answer = (await answers.readline()).decode().strip()
        assert answer not in ("", "failed")
        return answer

    try:
        yield run
    finally:
        sent.close()
        await process.wait()
