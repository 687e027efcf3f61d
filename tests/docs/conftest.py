"""The database that the documentation's snippets run on."""

from __future__ import annotations

import pytest

from eventstore.database import DatabaseConfig
from tests.conftest import url_of


@pytest.fixture
def migrated_url(migrated_config: DatabaseConfig) -> str:
    """The URL of an empty database at the newest schema."""
    return url_of(migrated_config)
