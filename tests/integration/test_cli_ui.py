"""`eventstore ui`: serves the inspector until it is asked to stop."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING

import httpx
import pytest

from eventstore.domain.portfolio import Portfolio
from tests.command_line import assert_not_found, assert_refused, environment, run, start
from tests.conftest import url_of

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig
    from eventstore.store import EventStore


async def begun(process: subprocess.Popen[str]) -> str:
    """The address that the command prints."""
    assert process.stdout is not None
    line = await asyncio.to_thread(process.stdout.readline)
    assert line.startswith("the inspector is at http://"), line
    return line.split()[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_serves_until_a_signal(
    migrated_config: DatabaseConfig, store: EventStore, number: signal.Signals
):
    """The printed address opens it, without the token nothing does, and a signal ends it with status 0."""
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(Portfolio(name="Main", initial_capital=Decimal(1)))
    process = start("ui", "--port", 0, "--portfolio", "Main", "--url", url_of(migrated_config))
    try:
        address = await begun(process)
        async with httpx.AsyncClient(follow_redirects=True) as client:
            assert (await client.get(address.partition("?")[0])).status_code == 401
            page = await client.get(address)
            assert page.status_code == 200
            assert "read only" in page.text
            assert "token=" not in str(page.url)
            slider = await client.get(f"{address.partition('?')[0]}time")
            assert "Main" in slider.text
    finally:
        process.send_signal(number)
        out, errors = await asyncio.to_thread(process.communicate, timeout=30)
    assert (process.returncode, out, errors) == (0, "stopped\n", "")


async def test_its_options(migrated_config: DatabaseConfig, store: EventStore):
    """A given token, operations, and names of the host."""
    options = (
        "--port",
        "0",
        "--token",
        "a-token-of-our-own",
        "--allow-operations",
        "--allow-host",
        "trading.example",
    )
    process = start("ui", *options, "--url", url_of(migrated_config))
    try:
        address = await begun(process)
        assert address.endswith("token=a-token-of-our-own")
        async with httpx.AsyncClient(follow_redirects=True) as client:
            assert "operations allowed" in (await client.get(address)).text
            root = address.partition("?")[0]
            assert (await client.get(root, headers={"Host": "trading.example"})).status_code == 200
            assert (await client.get(root, headers={"Host": "evil.example"})).status_code == 421
    finally:
        process.terminate()
        await asyncio.to_thread(process.communicate, timeout=30)


async def test_what_is_wrong_is_said_in_one_line(migrated_config: DatabaseConfig, store: EventStore):
    """A port in use, a portfolio that does not exist, options that exclude each other, a token that is too short."""
    url = url_of(migrated_config)
    listener = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
    taken = listener.sockets[0].getsockname()[1]
    in_use = await asyncio.to_thread(run, "ui", "--port", taken, "--url", url)
    listener.close()
    assert_refused(in_use, f"127.0.0.1:{taken}", "--port")
    nobody = await asyncio.to_thread(run, "ui", "--port", 0, "--portfolio", "Nobody", "--url", url)
    assert_not_found(nobody, "Nobody")
    both = await asyncio.to_thread(run, "ui", "--token", "x" * 20, "--no-token", "--url", url)
    assert_refused(both, "--no-token")
    short = await asyncio.to_thread(run, "ui", "--port", 0, "--token", "short", "--url", url)
    assert_refused(short, "16 characters")


def test_without_the_extra_it_says_what_to_install():
    """The command line works without the packages of the inspector, and this command names them in one line."""
    program = "import sys; sys.modules['starlette'] = None; sys.argv = ['eventstore', 'ui']; from eventstore.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "eventstore: the inspector is not installed: pip install 'trading-eventstore[ui]'\n"
    loaded = (
        "import sys, eventstore.cli.application; print('starlette' in sys.modules or 'jinja2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
