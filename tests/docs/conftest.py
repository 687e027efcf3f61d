"""The database that the documentation's snippets run on."""

from __future__ import annotations

import pytest_asyncio

from tests.migrated import migrate


@pytest_asyncio.fixture
async def migrated_url(database_url: str) -> str:
    """The URL of a fresh database at the newest schema."""
    await migrate(database_url)
    return database_url
