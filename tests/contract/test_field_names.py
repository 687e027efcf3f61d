"""Fields of an entity may have the names of what the library does with entities."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import BaseModel

from eventstore.core import Entity, Event, applies
from eventstore.domain import Order
from eventstore.errors import ConcurrencyError
from eventstore.testing.memory import InMemoryDatabase
from projections import EntityProjection, ProjectionWorker, Table
from projections.rebuild import rebuild
from tests.contract.databases import Database, MemoryDatabase, StoreDatabase


class ManoeuvreTurned(Event, category="manoeuvre"):
    """A manoeuvre took a turn."""

    advance: Decimal
    replica: int


class Manoeuvre(Entity, category="manoeuvre"):
    """Its fields are called as the steps of a fold and of a commit are."""

    apply: str
    advance: Decimal
    become: str | None = None
    begin: tuple[int, ...] = ()
    evolve: bool = False
    replica: int = 0
    mark_saved: str = ""
    is_clean: bool = True
    has_changes_after: int = 0
    made_entities: tuple[str, ...] = ()
    private: str = "none"

    def turn(self, advance: Decimal) -> None:
        """Take a turn."""
        self.emit(ManoeuvreTurned(advance=advance, replica=self.replica + 1))

    @applies(ManoeuvreTurned)
    def _turned(self, event: ManoeuvreTurned) -> None:
        self.set(advance=event.advance, replica=event.replica)


class Manoeuvres(EntityProjection[Manoeuvre]):
    """A table with columns of these names."""

    name = "manoeuvres"

    def __init__(self) -> None:
        super().__init__(
            Manoeuvre, Table("manoeuvres", row=Manoeuvre, key=("id",), types={"version": "integer"})
        )


async def test_fields_may_be_called_as_the_steps_of_a_fold(database: Database):
    """Such an entity is saved, commanded, assigned to, loaded, refreshed, refused in a conflict, and found in the past."""
    made = Manoeuvre(apply="slowly", advance=Decimal("1.50"), begin=(1, 2), made_entities=("a",))
    async with database.unit_of_work() as uow:
        await uow.entities(Manoeuvre).save(made)
        made.turn(Decimal("2.50"))
        made.become = "swift"
        await uow.entities(Manoeuvre).save(made)
        assert made.assigned_fields == ()
    async with database.unit_of_work() as uow:
        loaded = await uow.entities(Manoeuvre).get(made.id)
        assert loaded == made
        assert loaded is not None
        assert (loaded.apply, loaded.advance, loaded.become, loaded.begin) == (
            "slowly",
            Decimal("2.50"),
            "swift",
            (1, 2),
        )
        assert (loaded.replica, loaded.evolve, loaded.is_clean, loaded.made_entities) == (
            1,
            False,
            True,
            ("a",),
        )
        loaded.amend_to({"evolve": True, "is_clean": False, "mark_saved": "yes", "has_changes_after": 7})
        await uow.entities(Manoeuvre).save(loaded)
    made.turn(Decimal(9))
    with pytest.raises(ConcurrencyError):
        async with database.unit_of_work() as uow:
            await uow.entities(Manoeuvre).save(made)
    async with database.unit_of_work() as uow:
        assert await uow.refresh(made) == loaded
        made.turn(Decimal(3))
        await uow.entities(Manoeuvre).save(made)
    history = await database.history(made.id)
    assert Manoeuvre.fold(history) == made
    assert Manoeuvre.fold(history[2:], Manoeuvre.fold(history[:2])) == made
    async with database.as_of(position=history[1].position) as past:
        then = await past.entities(Manoeuvre).get(made.id)
        assert then is not None
        assert (then.advance, then.become) == (Decimal("2.50"), None)
    async with database.unit_of_work() as uow:
        assert await uow.entities(Manoeuvre).delete(made.id)
    async with database.unit_of_work() as uow:
        assert await uow.entities(Manoeuvre).get(made.id) is None


async def test_a_table_may_have_columns_of_these_names(database: Database):
    """A worker folds such entities into their table, and a rebuild proves it."""
    if not isinstance(database, StoreDatabase):
        assert isinstance(database, MemoryDatabase)
        assert isinstance(database.memory, InMemoryDatabase)  # which has no tables
        return
    log, projection = database.store.log, Manoeuvres()
    async with log.connection.acquire() as connection:
        await connection.execute(projection.table.create())
    made = Manoeuvre(apply="slowly", advance=Decimal("1.50"), begin=(1, 2))
    made.turn(Decimal("2.50"))
    async with database.unit_of_work() as uow:
        await uow.entities(Manoeuvre).save(made)
    await ProjectionWorker(log, projection).catch_up(await log.head())
    await rebuild(log, projection)
    async with log.connection.acquire() as connection:
        (row,) = await connection.fetch("SELECT apply, advance, replica, version FROM manoeuvres")
    assert tuple(row) == ("slowly", Decimal("2.50"), 1, 2)


def test_the_names_that_an_entity_needs_are_few():
    """Each one takes a name from the fields of users' entities: what the library alone calls is no method."""
    own = {
        name for name in [*dir(Entity), *Entity.__class_vars__] if not name.startswith(("_", "model_"))
    } - {*dir(BaseModel)}
    assert own == {
        # what its class says
        "amended_event", "category", "created_event", "creation_time_field", "deleted_event", "event_classes", "shown_fields",
        # what its methods call
        "create", "emit", "set",
        # what its user calls and asks
        "amend_to", "assigned_fields", "delete", "fold", "has_unsaved_changes", "is_deleted", "pending_events",
        "record_assignments",
    }  # fmt: skip
    assert {"id", "version"} <= {*Order.model_fields}
