"""A user's own projections and entities are known to commands by the names that they print; a wrong name or id is said so."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from eventstore.cli.modules import ENTRY_POINTS, VARIABLE
from projections import ProjectionWorker
from tests.command_line import assert_not_found, assert_refused, run
from tests.conftest import url_of
from tests.entities import CATEGORY, started
from tests.failing_projection import Spoilt, spoilt_table
from tests.running_workers import place

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from eventstore.database import DatabaseConfig
    from eventstore.store import EventStore

    Command = Callable[..., Coroutine[Any, Any, subprocess.CompletedProcess[str]]]

AMBIGUOUS = """
from tests.failing_projection import Spoilt

class Again(Spoilt):
    name = "spoilt"

class Inherits(Spoilt):
    pass
"""
MADE = """
from projections import EntityProjection, Table
from tests.entities import Strategy

class Strategies(EntityProjection[Strategy]):
    name = "tested_strategies"

strategies = Strategies(Strategy, Table("tested_strategies", row=Strategy, key=("id",)))
"""


@pytest.fixture
def command(migrated_config: DatabaseConfig) -> Command:
    """Run a command on the database of the test."""

    async def run_it(*arguments: Any, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(run, *arguments, "--url", url_of(migrated_config), env=env)

    return run_it


@pytest.fixture
def entry_point(tmp_path: Path) -> dict[str, str]:
    """An environment with an installed package whose entry point names `tests.failing_projection`."""
    folder = tmp_path / "shop-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\nshop = tests.failing_projection\n")
    return {"PYTHONPATH": str(tmp_path)}


async def fold(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A projection of a user's own that has a key in quarantine."""
    await spoilt_table(store)
    await place(store, 1, 13, 2, symbol="BAD")
    await place(store, 5, symbol="GOOD")
    monkeypatch.setenv("SPOILT_AT", "13")
    await ProjectionWorker(store.log, Spoilt()).catch_up(4)


async def test_a_projection_is_known_by_its_name(
    store: EventStore, command: Command, monkeypatch: pytest.MonkeyPatch
):
    """In every command that takes one."""
    await fold(store, monkeypatch)

    async def done(*arguments: str, status: int = 0) -> str:
        result = await command(*arguments, env={VARIABLE: "tests.failing_projection"})
        assert result.returncode == status, result.stdout + result.stderr
        return result.stdout

    assert "spoilt: quarantine" in await done("check", "--projection", "spoilt", status=1)
    assert "spoilt: quarantine" in await done("check", status=1)
    assert "ValueError: cannot take 13" in await done("quarantine", "show", "spoilt", "BAD")
    assert "still at position 2" in await done("quarantine", "retry", "spoilt", "BAD", status=1)
    assert "spoilt: 2 rows" in await done("rebuild", "spoilt")
    assert "is left out" in await done("quarantine", "discard", "spoilt", "BAD", "--reason", "a test")
    assert "spoilt: 2 equal" in await done("rebuild", "spoilt", "--compare")


@pytest.mark.parametrize("known_by", ["--module", "--app", VARIABLE, "entry point"])
def test_a_module_is_named_in_any_of_four_ways(entry_point: dict[str, str], known_by: str):
    """By either option, by the variable, or by an installed package."""
    option = (known_by, "tests.failing_projection") if known_by.startswith("--") else ()
    env = {VARIABLE: "json, tests.failing_projection"} if known_by == VARIABLE else {}
    done = run("table", "spoilt", *option, env=entry_point if known_by == "entry point" else env)
    assert (done.returncode, 'CREATE TABLE "spoilt"' in done.stdout) == (0, True)


async def test_what_is_not_known_is_said(
    store: EventStore, command: Command, monkeypatch: pytest.MonkeyPatch
):
    """A check names what it could not look at; a name without code is refused with what makes it known."""
    await fold(store, monkeypatch)
    checked = await command("check")
    assert "spoilt: not checked, because its code is not known: give --module MODULE" in checked.stdout
    assert json.loads((await command("check", "--json")).stdout)["not_checked"] == ["spoilt"]
    assert (
        json.loads((await command("check", "--json", "--module", "tests.failing_projection")).stdout)[
            "not_checked"
        ]
        == []
    )
    for arguments in (
        ("rebuild", "spoilt"),
        ("check", "--projection", "spoilt"),
        ("quarantine", "retry", "spoilt"),
    ):
        assert_refused(
            await command(*arguments), "there is no projection spoilt", "--module MODULE", "MODULE:CLASS"
        )
    assert_refused(
        await command("rebuild", "spoil", "--module", "tests.failing_projection"), "did you mean spoilt?"
    )
    assert_refused(await command("rebuild", "positons"), "did you mean positions?")
    assert_refused(
        await command("check", "--module", "tests.nowhere"), "there is no module tests.nowhere", "--module"
    )
    assert_refused(await command("check", env={VARIABLE: "no.such"}), "there is no module no", VARIABLE)
    # The database knows the name, and no code is needed to look.
    assert (await command("quarantine", "show", "spoilt", "BAD")).returncode == 0
    assert (await command("quarantine", "list", "--projection", "spoilt")).returncode == 0
    assert_refused(await command("quarantine", "list", "--projection", "spoild"), "did you mean spoilt?")
    assert_refused(await command("quarantine", "show", "spoild", "BAD"), "did you mean spoilt?")


async def test_a_module_that_fails_is_named(command: Command, tmp_path: Path):
    """Whatever it raises: one line, no traceback."""
    (tmp_path / "failing.py").write_text("raise ZeroDivisionError('\\x1b[31m')")
    (tmp_path / "ambiguous.py").write_text(AMBIGUOUS)
    env = {"PYTHONPATH": str(tmp_path)}
    refused = await command("check", "--module", "failing", env=env)
    assert_refused(refused, "the module failing (--module) cannot be imported: ZeroDivisionError: \\x1b[31m")
    refused = await command("rebuild", "spoilt", "--module", "ambiguous", env=env)
    assert_refused(
        refused,
        "several projections are called spoilt:",
        "ambiguous:Again and tests.failing_projection:Spoilt",
    )


async def test_a_projection_may_be_an_object_of_the_module(
    store: EventStore, command: Command, tmp_path: Path
):
    """One whose class needs arguments is known by the object that the module made."""
    (tmp_path / "made.py").write_text(MADE)
    env = {"PYTHONPATH": str(tmp_path)}
    done = await asyncio.to_thread(run, "table", "tested_strategies", "--module", "made", env=env)
    async with store.connection.acquire() as connection:
        await connection.execute(done.stdout)
    await store.log.append(started("one"))
    for name in ("tested_strategies", "made:strategies"):
        rebuilt = await command("rebuild", name, "--module", "made", "--processes", "1", env=env)
        assert rebuilt.stdout.startswith("tested_strategies: 1 rows"), rebuilt.stderr
    assert_refused(
        await command("rebuild", "made:Strategies", env=env),
        "cannot be created without constructor arguments",
    )


async def test_an_entity_is_known_by_its_category(store: EventStore, command: Command):
    """Of a user's own with its module; without it, the line says how."""
    stream = started("one", tunings=1)
    await store.log.append(stream)
    shown = await command("history", CATEGORY, stream.stream_id, "--module", "tests.entities")
    assert (shown.returncode, "name: one" in shown.stdout) == (0, True)
    assert_refused(
        await command("history", CATEGORY, stream.stream_id), f"category {CATEGORY}", "--module MODULE"
    )
    assert_refused(await command("history", "ordr", stream.stream_id), "did you mean order?")


async def test_what_is_not_there_is_status_1(
    store: EventStore, command: Command, monkeypatch: pytest.MonkeyPatch
):
    """A wrong id, in every command that takes one, and not the status of a mistyped command."""
    await fold(store, monkeypatch)
    nobody = uuid4()
    for arguments in (
        ("history", "order", nobody),
        ("show", nobody),
        ("trace", nobody),
        ("trace", nobody, "--json"),
        ("prove", nobody),
        ("prove", 99),
        ("prove", 0),
        ("quarantine", "show", "spoilt", "NOBODY"),
        ("quarantine", "retry", "spoilt", "NOBODY", "--module", "tests.failing_projection"),
        (
            "quarantine",
            "discard",
            "spoilt",
            "NOBODY",
            "--reason",
            "x",
            "--module",
            "tests.failing_projection",
        ),
    ):
        assert_not_found(await command(*arguments), str(arguments[-1] if arguments[0] == "prove" else ""))


async def test_an_unknown_name_in_a_filter_is_an_error(store: EventStore, command: Command, tmp_path: Path):
    """Close names are named; a name that only the log knows is none that is wrong, nor one that only the code knows."""
    await place(store, 1)
    await store.log.append(started())
    file = tmp_path / "log"
    for arguments in (("tail",), ("tail", "--follow"), ("export", file)):
        refused = await command(*arguments, "--category", "order", "--category", "ordr")
        assert_refused(refused, "no event of category ordr: did you mean order?")
    assert not file.exists()
    assert_refused(
        await command("tail", "--type", "OrderFiled"), "no event of type OrderFiled", "OrderFilled"
    )
    assert_refused(await command("tail", "--type", "xyz"), "no event of type xyz: there are ", "OrderCreated")
    for names in (("--category", CATEGORY), ("--type", "StrategyStarted"), ("--type", "OrderExpired")):
        assert (await command("tail", *names)).returncode == 0, names
    assert (await command("export", file, "--category", "portfolio")).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("orders", "--as-of", 10**30),
        ("orders", "--as-of", 99),
        ("orders", "--as-of", "2026-13-01"),
        ("orders", "--as-of", "2026-01-01T00:00:00+99:00"),
        ("orders", "--as-of", 1, "--limit", 10**30),
        ("prove", 10**30),
        ("tail", "-n", 10**30),
        ("export", "-", "--after", 10**30),
        ("export", "-", "--after", 99),
        ("migrate", "--to", 10**30),
        ("seal", "--every", "nan"),
        ("work", "--partitions", -1),
    ],
    ids=str,
)
async def test_a_wrong_position_or_time_is_one_line(
    store: EventStore, command: Command, arguments: tuple[Any, ...]
):
    """Beyond the log, beyond any number, or of no form: one line with status 2."""
    await place(store, 1)
    assert_refused(await command(*arguments))
