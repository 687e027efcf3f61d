"""Alembic beside the store, in one database: docs/recipes/alembic.md, with the real `alembic`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eventstore.database import (
    ConnectionFactory,
    DatabaseConfig,
    MigrationManager,
    PostgreSQLAdapter,
    store_names,
)
from eventstore.examples.turnover import TurnoverProjection
from eventstore.store import built_in_projections
from projections.rebuild.new_table import beside_name
from tests.conftest import url_of
from tests.recipes.pages import block_with

PAGE = "docs/recipes/alembic.md"
MODEL = """
import sqlalchemy as sa
target_metadata = sa.MetaData()
sa.Table("watchlists", target_metadata, sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("symbol", sa.Text))
"""


def alembic(folder: Path, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run one command of Alembic."""
    return subprocess.run(
        [sys.executable, "-m", "alembic", *words],
        cwd=folder,
        env=os.environ | {"DATABASE_URL": url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def project(folder: Path, *, hook: bool, schema: str | None) -> None:
    """A project of Alembic: its own asyncio template, with the lines that the page shows."""
    assert alembic(folder, "", "init", "--template", "async", "migrations").returncode == 0
    env = folder / "migrations" / "env.py"
    text = env.read_text()
    engine = block_with(PAGE, "python", "create_async_engine")
    made = text[text.index("    connectable = ") : text.index("    async with connectable")]
    text = text.replace(made, "    connectable = engine\n\n").replace("target_metadata = None", MODEL)
    options = "include_schemas=True, compare_type=True"
    if hook:
        hooked = block_with(PAGE, "python", "def include_name").replace(
            "STORE_SCHEMA = None", f"STORE_SCHEMA = {schema!r}"
        )
        text = text.replace("config = context.config", hooked + "\nconfig = context.config")
        options += ", include_name=include_name"
    text = text.replace("config = context.config", engine + "\nconfig = context.config")
    assert text.count("target_metadata=target_metadata") == 2
    env.write_text(
        text.replace("target_metadata=target_metadata", f"target_metadata=target_metadata, {options}")
    )


async def prepare(config: DatabaseConfig) -> str:
    """Migrate the store, with a table of a user's projection and one that a rebuild has left; return the URL for Alembic."""
    async with await ConnectionFactory.create_connection(config) as connection:
        adapter = PostgreSQLAdapter(connection)
        manager = MigrationManager(adapter)
        await manager.initialize()
        await manager.migrate_to_latest()
        for name in ("turnover", "turnover__rebuild", "orders__rebuild"):
            await adapter.execute(TurnoverProjection.table.create(name, schema=config.schema or "public"))
    return url_of(config.replace(schema=None))


@pytest.mark.parametrize("schema", [None, "eventstore"])
async def test_autogenerate_leaves_the_store_alone(
    database_config: DatabaseConfig, schema: str | None, tmp_path: Path
):
    """With the hook of the page a revision has the user's tables alone, and after it the difference is empty."""
    url = await prepare(database_config.replace(schema=schema))
    project(tmp_path, hook=True, schema=schema)
    made = alembic(tmp_path, url, "revision", "--autogenerate", "-m", "first")
    assert made.returncode == 0, made.stderr
    (revision,) = (tmp_path / "migrations" / "versions").glob("*.py")
    up = revision.read_text().partition("def upgrade")[2].partition("def downgrade")[0]
    assert (up.count("op.create_table"), up.count("op.")) == (1, 1), up
    done = alembic(tmp_path, url, "upgrade", "head")
    assert done.returncode == 0, done.stderr
    checked = alembic(tmp_path, url, "check")
    assert (checked.returncode, "No new upgrade operations" in checked.stdout) == (0, True), checked.stdout


async def test_without_the_hook_the_store_would_be_dropped(database_config: DatabaseConfig, tmp_path: Path):
    """What the hook is for: Alembic by itself proposes to drop the log."""
    url = await prepare(database_config)
    project(tmp_path, hook=False, schema=None)
    assert alembic(tmp_path, url, "revision", "--autogenerate", "-m", "first").returncode == 0
    (revision,) = (tmp_path / "migrations" / "versions").glob("*.py")
    assert "op.drop_table('events')" in revision.read_text().partition("def downgrade")[0]


async def test_a_table_of_the_user_with_a_name_of_the_store(database_config: DatabaseConfig, tmp_path: Path):
    """If the store has a schema of its own, the hook hides nothing else: a table `orders` of the user is compared."""
    url = await prepare(database_config.replace(schema="eventstore"))
    async with await ConnectionFactory.create_connection(database_config) as connection:
        await PostgreSQLAdapter(connection).execute("CREATE TABLE public.orders (id bigint)")
    project(tmp_path, hook=True, schema="eventstore")
    checked = alembic(tmp_path, url, "check")
    assert "'remove_table', Table('orders'" in checked.stdout + checked.stderr


async def test_the_names_are_all_that_there_is(migrated_config: DatabaseConfig):
    """A migrated database has no table, view, type or function beyond `store_names`."""
    async with await ConnectionFactory.create_connection(migrated_config) as connection:
        rows = await PostgreSQLAdapter(connection).fetch_all(
            "SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')"
            " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            " UNION ALL SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype = 'e'"
        )
    found = {row["name"] for row in rows}
    assert found
    assert found - store_names() == set()


def test_a_rebuild_builds_under_a_name_of_the_store():
    """The table beside each read table is among the names; that of a user's projection if it is named."""
    assert {beside_name(one) for one in built_in_projections()} <= store_names()
    assert beside_name(TurnoverProjection()) in store_names("turnover") - store_names()
