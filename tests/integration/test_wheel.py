"""The built wheel holds what it needs: installed alone in an empty environment, it migrates a database."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSTALL_TIMEOUT_S = 300

MIGRATE = """
import asyncio, pathlib, sys
import eventstore, projections
from eventstore.database import ConnectionFactory, DatabaseConfig, MigrationManager, PostgreSQLAdapter
from eventstore.database.embedded import EmbeddedServer

async def migrate(config):
    connection = await ConnectionFactory.create_connection(config)
    manager = MigrationManager(PostgreSQLAdapter(connection))
    await manager.initialize()
    ran = await manager.migrate_to_latest()
    adapter = PostgreSQLAdapter(connection)
    table = await adapter.fetch_value("SELECT to_regclass('events')::text")
    await connection.close()
    return ran, table

with EmbeddedServer.start() as server:
    ran, table = asyncio.run(migrate(server.config()))
print(pathlib.Path(eventstore.__file__).parent)
print(pathlib.Path(projections.__file__).parent)
print(ran, table)
"""


def run(*command: str | Path, cwd: Path, timeout_s: float = INSTALL_TIMEOUT_S) -> str:
    """Run a command away from the project, without its environment's settings, and return what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DATABASE_"))}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=kept,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the project as it is now."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "-qq", "wheel", "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an empty environment in which nothing but the wheel and its dependencies is installed."""
    home = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", home / "venv", cwd=home)
    programs = home / "venv" / "bin"
    run(programs / "python", "-m", "pip", "-qq", "install", f"{wheel}[embedded,cli]", cwd=home)
    return programs


def tracked(folder: str, suffix: str) -> set[str]:
    """The project's files below a folder, relative to the project."""
    return {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob(f"*{suffix}")}


@pytest.mark.full
def test_the_wheel_holds_every_file(wheel: Path):
    """Modules, statements, migrations and the marks of typing are inside; tests and tools are not."""
    inside = set(zipfile.ZipFile(wheel).namelist())
    migrations = {f"eventstore/{path}" for path in tracked("migrations", ".sql")}
    assert migrations
    expected = (
        migrations
        | tracked("eventstore", ".py")
        | tracked("eventstore", ".sql")
        | tracked("eventstore/ui", ".css")
        | {path for suffix in (".html", ".js") for path in tracked("eventstore", suffix)}
        | tracked("projections", ".py")
        | {"eventstore/py.typed", "projections/py.typed"}
    )
    packaged = {name for name in inside if ".dist-info/" not in name}
    assert packaged == expected


@pytest.mark.full
def test_the_installed_wheel_migrates_a_database(installed: Path, tmp_path: Path):
    """It finds its own migrations, with no checkout around, and brings an empty database to the newest schema."""
    eventstore, projections, migrated = run(
        installed / "python", "-P", "-c", MIGRATE, cwd=tmp_path
    ).splitlines()
    for folder in (eventstore, projections):
        assert Path(folder).is_relative_to(installed.parent)
    assert migrated == f"{len(tracked('migrations', '.sql'))} events"


@pytest.mark.full
def test_the_installed_command_migrates_a_database(installed: Path, tmp_path: Path, database_url: str):
    """`eventstore migrate` of the installed wheel does it too, and again does nothing."""
    run(installed / "eventstore", "migrate", "--url", database_url, cwd=tmp_path)
    run(installed / "eventstore", "migrate", "--url", database_url, cwd=tmp_path)
    status = run(installed / "eventstore", "status", "--url", database_url, cwd=tmp_path)
    assert "0001" in status
