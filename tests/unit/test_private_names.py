"""Private names of other libraries: each still is what the library takes it for, and no other module uses one."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import asyncpg
import pytest
from asyncpg.pool import PoolConnectionProxy
from asyncpg.protocol import Protocol as DriverProtocol
from pydantic import AfterValidator, BaseModel, Field, PrivateAttr

from eventstore.core import codec
from eventstore.core.event_codec import event_codecs
from eventstore.core.registry import registry
from eventstore.database.connecting import connect_arguments
from eventstore.domain import Order, Portfolio, Position
from eventstore.private_names import asyncpg_names
from eventstore.private_names.pydantic_names import only_sets_private_attributes, setter_of

ROOT = Path(__file__).parents[2]
ROOM = ROOT / "eventstore" / "private_names"


# ---- pydantic ------------------------------------------------------------------------------------------------


class _Plain(BaseModel):
    name: str = ""
    _seen: int = PrivateAttr(default=3)
    _all: list[int] = PrivateAttr(default_factory=list)


class _Own(_Plain):
    def model_post_init(self, _: Any, /) -> None:
        self._seen = 4


def test_private_attributes_with_defaults_alone_are_told_from_others():
    """Pydantic's own `model_post_init` is known; one of a user's is not taken for it, and runs."""
    assert only_sets_private_attributes(_Plain)
    assert not only_sets_private_attributes(_Own)
    assert not only_sets_private_attributes(type("Bare", (BaseModel,), {}))
    for kind, seen in ((_Plain, 3), (_Own, 4)):
        made, constructed = codec.fill(kind, {"name": "A"}), kind(name="A")
        assert (made, made._seen, made._all) == (constructed, seen, [])
        assert made.__pydantic_fields_set__ == constructed.__pydantic_fields_set__
        assert made.__pydantic_extra__ == constructed.__pydantic_extra__


@pytest.mark.parametrize("kind", [Order, Position, Portfolio])
def test_entities_are_made_without_pydantics_method(kind):
    """Else each fold of an event would take twice as long."""
    assert codec.maker(kind)._private is not None


def test_events_of_the_trading_model_are_written_without_being_read_back():
    """Else an append would take eight times as long for each event: pydantic's checks of bounds are recognised."""
    own = [one for one in registry if one.__module__.startswith("eventstore.domain.")]
    assert len(own) > 20
    assert [one.__name__ for one in own if not event_codecs[one].is_exact] == []


def test_a_validator_of_a_users_is_no_check_of_bounds():
    """It may return anything, so what it lets through is read back; pydantic's own checks are not."""

    class Bounded(BaseModel):
        price: Annotated[Decimal, Field(gt=0, max_digits=10)]

    class Halved(BaseModel):
        price: Annotated[Decimal, AfterValidator(lambda price: price / 2)]

    assert codec.form_of(Bounded).readers["price"].is_exact
    assert not codec.form_of(Halved).readers["price"].is_exact


@pytest.mark.parametrize(
    "name", ["__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"]
)
def test_what_pydantic_keeps_of_an_instance_has_a_slot(name):
    """Else making an event would take half as long again."""
    assert isinstance(setter_of(name), type(vars(BaseModel)["__pydantic_extra__"].__set__))
    setter: Any = setter_of(name)
    assert setter.__self__ is vars(BaseModel)[name]


def test_an_attribute_without_a_slot_is_set_by_its_name():
    """Another version of pydantic may keep it in another way."""
    made = object.__new__(_Plain)
    object.__setattr__(made, "__dict__", {})
    setter_of("name")(made, "A")
    assert made.__dict__ == {"name": "A"}


# ---- asyncpg -------------------------------------------------------------------------------------------------


def test_the_driver_runs_statements_past_codecs():
    """It has the argument, and takes the others in this order."""
    assert asyncpg_names.CAN_IGNORE_CODECS
    parameters = [*inspect.signature(asyncpg.Connection._execute).parameters]
    assert parameters[:5] == ["self", "query", "args", "limit", "timeout"]
    assert {"return_status", "record_class", "ignore_custom_codec"} <= {*parameters}


def test_the_driver_has_what_tells_whether_a_connection_is_quiet():
    """Its transaction, and whether a cancellation is under way; both are looked at by its own pool too."""
    assert {"_top_xact", "_protocol"} <= {*asyncpg.Connection.__slots__}
    assert callable(DriverProtocol._is_cancelling)
    source = inspect.getsource(asyncpg.Connection)
    assert "_top_xact" in source
    assert "_is_cancelling" in inspect.getsource(asyncpg.pool)


@pytest.mark.parametrize(
    ("transaction", "top", "cancelling", "quiet"),
    [
        (False, None, False, True),
        (True, None, False, False),
        (False, object(), False, False),
        (False, None, True, False),
    ],
)
def test_a_connection_is_quiet_where_nothing_is_under_way(transaction, top, cancelling, quiet):
    """Each of the three alone says that it is not."""
    connection: Any = SimpleNamespace(
        is_in_transaction=lambda: transaction,
        _top_xact=top,
        _protocol=SimpleNamespace(_is_cancelling=lambda: cancelling),
    )
    assert asyncpg_names.is_quiet(connection) is quiet
    asyncpg_names.forget_transaction(connection)
    assert connection._top_xact is None


def test_a_proxy_of_a_pool_has_its_connection():
    """That of any pool of the driver."""
    assert "_con" in PoolConnectionProxy.__slots__
    proxy: Any = SimpleNamespace(_con="behind it")
    assert asyncpg_names.physical(proxy) == "behind it"
    alone = object()
    assert asyncpg_names.physical(alone) is alone


async def test_the_drivers_settings_know_types_and_codecs(server_config):
    """Types that are registered need no look-up; the codec of an array is another object once its element's has changed."""
    connection = await asyncpg.connect(**connect_arguments(server_config))
    try:
        asyncpg_names.register_types(connection, [_ARRAY_OF_DATES])
        asked: list[str] = []
        connection.add_query_logger(lambda record: asked.append(record.query))
        when = [datetime(2024, 1, 2, tzinfo=UTC).date()]
        assert await connection.fetchval("SELECT $1::date[]", when) == when
        await asyncio.sleep(0)  # loggers are called in a turn of their own
        assert asked == ["SELECT $1::date[]"]
        (before,) = asyncpg_names.codecs_of(connection, [1182])
        assert asyncpg_names.codecs_of(connection, [1182])[0] is before
        await connection.set_type_codec("date", schema="pg_catalog", encoder=str, decoder=str)
        asyncpg_names.register_types(connection, [_ARRAY_OF_DATES])
        assert asyncpg_names.codecs_of(connection, [1182])[0] is not before
    finally:
        await connection.close()


_ARRAY_OF_DATES = {
    "oid": 1182,
    "ns": "pg_catalog",
    "name": "_date",
    "kind": b"b",
    "basetype": None,
    "elemtype": 1082,
    "elemdelim": ",",
    "range_subtype": None,
    "attrtypoids": None,
    "attrnames": None,
    "depth": 1,
    "basetype_name": None,
    "elemtype_name": "date",
    "range_subtype_name": None,
}


# ---- no other --------------------------------------------------------------------------------------------------

_OF_THE_DRIVER = {"_protocol", "_top_xact", "_is_cancelling", "_con"}


def _uses(path: Path) -> list[str]:
    """Where a module uses a private name of another library, or makes code of text."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr="_execute"):
                continue
            case ast.Attribute(attr=name) if name in _OF_THE_DRIVER or name == "_execute":
                found.append(f"{path}:{node.lineno}: {name}")
            case ast.Constant(value=str(text)) if re.fullmatch(
                r"_con|_top_xact|_protocol|pydantic\._.*|init_private_attributes", text
            ):
                found.append(f"{path}:{node.lineno}: {text!r}")
            case ast.ImportFrom(module=str(module)) if re.match(
                r"(pydantic|asyncpg|pydantic_core|uuid_utils)\b.*\._", module
            ):
                found.append(f"{path}:{node.lineno}: {module}")
            case ast.Call(func=ast.Name(id="eval" | "exec" | "compile" as name)):
                found.append(f"{path}:{node.lineno}: {name}")
            case _:
                continue
    return found


def test_no_other_module_uses_a_private_name_or_makes_code():
    """They are all in one room."""
    paths = [path for package in ("eventstore", "projections") for path in (ROOT / package).rglob("*.py")]
    assert [use for path in paths if path.parent != ROOM for use in _uses(path)] == []
    assert len([use for path in ROOM.glob("*.py") for use in _uses(path)]) > 5
