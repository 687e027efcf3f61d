"""Privilege separation: the rights of the roles that write, read, fold, seal and import.

One role owns everything and creates it with `eventstore migrate`. All other roles get rights and own
nothing, so none of them can replace an object that others use with its own view, trigger or function.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from eventstore import errors
from eventstore.database.migration_files import load_migrations, packaged_directory
from eventstore.sql import Named, quoted

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore.database.adapter import PostgreSQLAdapter

Part = Literal["writer", "reader", "projector", "sealer", "importer"]
"""The part of a role: what it is for."""

PARTS: tuple[Part, ...] = get_args(Part)
"""All parts."""

PROJECTED = frozenset(
    (
        "orders", "positions", "portfolios", "portfolio_snapshots", "instruments", "projections", "projection_checkpoints",
        "projection_quarantine", "projection_discards", "projection_delivery_counts", "state_snapshots", "log_segments",
    )
)  # fmt: skip
"""The tables that projection workers write."""

_LOG = "events"
_SEALS = "event_seals"
_SEQUENCE = "events_position_seq"
_FUNCTIONS: Mapping[str, tuple[Part, ...]] = {
    "append_event": ("writer",),
    "append_events": ("writer",),
    "lock_event_log": ("importer",),
}
# The harmless rights of PUBLIC; all other rights of PUBLIC on an object are revoked.
_HARMLESS = {"table": {"SELECT"}, "sequence": {"SELECT"}, "function": set[str](), "schema": {"USAGE"}}
_MIGRATIONS = "schema_migrations"


@dataclass(frozen=True, slots=True)
class RoleRights:
    """The rights of a role on the store.

    Attributes:
        role: The name of the role.
        parts: The parts of the role; empty if all its rights were revoked.
        rights: The effective privileges on each object, from any source; objects by name.
        beyond: The rights beyond its parts, and their sources; one line each.
    """

    role: str
    parts: tuple[Part, ...]
    rights: Mapping[str, tuple[str, ...]]
    beyond: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Granted:
    """The result of `grant`.

    Attributes:
        owner: The role that owns the store.
        statements: The statements that ran; empty if nothing had to change.
        roles: The present rights of each named role.
        remarks: Remarks for the administrator; one line each.
    """

    owner: str
    statements: tuple[str, ...]
    roles: tuple[RoleRights, ...]
    remarks: tuple[str, ...]

    @property
    def is_as_intended(self) -> bool:
        """Whether no role may do more than its parts."""
        return not any(one.beyond for one in self.roles)


async def grant(
    adapter: PostgreSQLAdapter,
    *,
    writer: str | None = None,
    reader: str | None = None,
    projector: str | None = None,
    sealer: str | None = None,
    importer: str | None = None,
    revoke: str | None = None,
    tables: Iterable[str] = (),
    directory: Path | None = None,
) -> Granted:
    """Give each role the rights of its part, and revoke all its other rights, in one transaction.

    All parts may read everything. In addition, the writer may append, only through functions; the
    projector may write the read tables and the tables of the projection engine; the sealer may add seals;
    and the importer may write events and seals as they are in a file. No role may change or remove an
    event, and no role owns anything: objects of the store that a role owns go back to the owner. Roles
    belong to the cluster, so its administrator creates them. One role may have several parts. Roles that
    are not named stay unchanged.

    Run this as the role that owns the tables, or as a superuser, and again after each migration. Safe to
    repeat: rights that are right already are left alone.

    Args:
        adapter: The adapter to run on, without an open transaction.
        writer: The role of processes that append.
        reader: The role of processes that only read.
        projector: The role of projection workers.
        sealer: The role of processes that seal the log.
        importer: The role of processes that load histories and exported logs.
        revoke: A role that loses all rights on the store.
        tables: The names of the tables of your own projections, which the projector may write.
        directory: The folder of the migrations; None for the library's own.

    Returns:
        The statements that ran, and the present rights of each role.

    Raises:
        ConfigurationError: No role is named; a role does not exist or owns the store; one of your tables
            does not exist or belongs to the library; or the current role may not grant rights.
        NotMigratedError: The database has no events table.
        RepositoryError: The role that runs this may not give these rights. Nothing was changed.
    """
    named: dict[Part, str | None] = dict(
        zip(PARTS, (writer, reader, projector, sealer, importer), strict=True)
    )
    parts: dict[str, tuple[Part, ...]] = {
        role: tuple(part for part in PARTS if named[part] == role)
        for role in sorted({*named.values(), revoke} - {None})  # type: ignore[type-var]
        if role is not None
    }
    if not parts:
        options = ", ".join(f"--{part}" for part in PARTS)
        raise errors.ConfigurationError(f"name at least one role: {options} or --revoke")
    if revoke is not None and parts[revoke]:
        raise errors.ConfigurationError(
            f"the role {revoke} is named both as {parts[revoke][0]} and for --revoke: leave one of them out"
        )
    missing = [row["name"] for row in await adapter.fetch_all(Named("database/missing_roles"), list(parts))]
    if missing:
        named_roles = ", ".join(missing)
        raise errors.ConfigurationError(
            f"there is no role {named_roles}: ask the administrator to CREATE ROLE it first"
        )
    made = {name for one in load_migrations(directory or packaged_directory()) for name in one.creates}
    own = sorted({*tables})
    taken = sorted({*own} & ({*made, _MIGRATIONS} - PROJECTED))
    if taken:
        raise errors.ConfigurationError(f"{taken[0]} is not the table of a projection: leave it out")
    async with adapter.transaction(isolation="read committed"):
        return await _Grant(adapter, parts).run(sorted({*made, _MIGRATIONS, *own}), own)


@dataclass(frozen=True, slots=True)
class _Object:
    kind: str
    name: str
    identity: str
    owner: str

    @property
    def words(self) -> str:
        """How GRANT and ALTER name it."""
        return f"{self.kind.upper()} {self.identity}"


class _Grant:
    def __init__(self, adapter: PostgreSQLAdapter, parts: Mapping[str, tuple[Part, ...]]) -> None:
        self._adapter = adapter
        self._parts = parts
        self._objects: list[_Object] = []
        self._projected = set(PROJECTED)
        self._owner = ""
        self._statements: list[str] = []
        self._remarks: list[str] = []

    async def run(self, names: list[str], own: list[str]) -> Granted:
        self._projected |= {*own}
        await self._find(names, own)
        await self._take_back()
        direct = await self._rights("database/direct_rights")
        effective = await self._rights("database/effective_rights")
        for one in self._objects:
            await self._close(one, direct[None])
            for role, parts in self._parts.items():
                await self._fit(one, role, parts, direct[role][one.identity], effective[role][one.identity])
        await self._revoke_defaults()
        return Granted(self._owner, tuple(self._statements), await self._report(), tuple(self._remarks))

    async def _execute(self, statement: str) -> None:
        self._statements.append(statement)
        await self._adapter.execute(statement)

    async def _find(self, names: list[str], own: list[str]) -> None:
        rows = await self._adapter.fetch_all(Named("database/store_objects"), names, sorted(_FUNCTIONS))
        self._objects = [_Object(**dict(row)) for row in rows]
        by_name = {
            one.name: one for one in self._objects if one.kind not in ("schema", "database", "function")
        }
        if _LOG not in by_name:
            raise errors.NotMigratedError("the database has no events table yet: run `eventstore migrate`")
        for one in by_name.values():
            if one.kind == "relation":
                raise errors.ConfigurationError(
                    f"{one.identity}, of role {one.owner}, is not a table but has the name of one: drop it and restore the "
                    "table"
                )
        for table in own:
            if table not in by_name:
                raise errors.ConfigurationError(f"there is no table {table}: create it by a migration first")
        self._owner = by_name[_LOG].owner
        who = await self._adapter.fetch_one(Named("database/may_grant"), self._owner)
        if who is not None and not who["may_grant"]:
            raise errors.ConfigurationError(
                f"only the owner of the store, {self._owner}, or a superuser may grant rights on it, and this role is "
                f"{who['name']}: log in as the owner"
            )
        if who is not None and who["is_superuser"]:
            self._remarks.append(
                f"the owner of the store, {self._owner}, is a superuser, so the functions that append run as a superuser: let "
                "an ordinary role migrate, or make it the owner of the existing objects"
            )
        if self._owner in self._parts:
            raise errors.ConfigurationError(
                f"the role {self._owner} owns the store, so it may do everything: name another role"
            )

    async def _take_back(self) -> None:
        """Give objects of the store to its owner; of the user's tables, only those of the named roles."""
        for place, one in enumerate(self._objects):
            if one.kind in ("schema", "database", "function") or one.owner == self._owner:
                continue
            if one.name in PROJECTED or one.owner in self._parts or one.name not in self._projected:
                await self._execute(f"ALTER {one.words} OWNER TO {quoted(self._owner)}")
                self._objects[place] = _Object(one.kind, one.name, one.identity, self._owner)

    async def _rights(self, statement: str) -> Any:
        """Return the privileges by role (None for PUBLIC) and object."""
        found: Any = defaultdict(lambda: defaultdict(set))
        for row in await self._adapter.fetch_all(
            Named(statement),
            [one.identity for one in self._objects if one.kind in ("table", "sequence")],
            [one.identity for one in self._objects if one.kind == "function"],
            list(self._parts),
        ):
            found[row["role"]][row["identity"]].add(row["privilege"])
        return found

    async def _close(self, one: _Object, everybody: Mapping[str, set[str]]) -> None:
        """Revoke from PUBLIC the rights that only some roles may have."""
        if one.kind == "database":
            return
        open_to_all = everybody.get(one.identity, set()) - _HARMLESS[one.kind]
        if not open_to_all:
            return
        if one.kind == "schema" and not await self._may_act_as(one.owner):
            self._remarks.append(
                f"everybody may create objects in the schema {one.name}, whose owner is {one.owner}: let that role run REVOKE "
                f"CREATE ON SCHEMA {one.identity} FROM PUBLIC"
            )
            return
        await self._execute(f"REVOKE {', '.join(sorted(open_to_all))} ON {one.words} FROM PUBLIC")

    async def _may_act_as(self, role: str) -> bool:
        row = await self._adapter.fetch_one(Named("database/may_grant"), role)
        return row is not None and bool(row["may_grant"])

    async def _fit(
        self, one: _Object, role: str, parts: tuple[Part, ...], direct: set[str], effective: set[str]
    ) -> None:
        """Give a role exactly the intended rights on an object."""
        wanted = self.wanted(one, parts)
        if one.kind in ("schema", "database"):
            # PUBLIC may have rights on these, and another role may own them.
            if one.kind == "schema" and (unwanted := direct - wanted):
                await self._execute(
                    f"REVOKE {', '.join(sorted(unwanted))} ON {one.words} FROM {quoted(role)}"
                )
            if lacking := wanted - effective:
                await self._execute(f"GRANT {', '.join(sorted(lacking))} ON {one.words} TO {quoted(role)}")
            return
        if direct == wanted:
            return
        if direct - wanted:
            await self._execute(f"REVOKE ALL ON {one.words} FROM {quoted(role)} CASCADE")
            direct = set()
        if lacking := wanted - direct:
            await self._execute(f"GRANT {', '.join(sorted(lacking))} ON {one.words} TO {quoted(role)}")

    def wanted(self, one: _Object, parts: tuple[Part, ...]) -> set[str]:
        """Return the intended privileges on an object of a role with these parts."""
        if not parts:
            return set()
        if one.kind == "function":
            return {"EXECUTE"} if {*parts} & {*_FUNCTIONS[one.name]} else set()
        if one.kind in ("schema", "database"):
            return {"USAGE"} if one.kind == "schema" else {"CONNECT"}
        wanted = {"SELECT"}
        if one.name == _SEQUENCE and "importer" in parts:
            wanted |= {"USAGE", "UPDATE"}
        if (one.name in (_LOG, _SEALS) and "importer" in parts) or (one.name == _SEALS and "sealer" in parts):
            wanted |= {"INSERT"}
        if one.name in self._projected and "projector" in parts:
            wanted |= {"INSERT", "UPDATE", "DELETE"}
        return wanted

    async def _revoke_defaults(self) -> None:
        rows = await self._adapter.fetch_all(Named("database/default_rights"), list(self._parts))
        schema = next(one for one in self._objects if one.kind == "schema")
        for row in rows:
            if not row["may_revoke"]:
                self._remarks.append(
                    f"the role {row['role']} will have rights on {row['kind'].lower()} that {row['maker']} creates in "
                    f"{schema.name}: let that role ALTER DEFAULT PRIVILEGES"
                )
                continue
            await self._execute(
                f"ALTER DEFAULT PRIVILEGES FOR ROLE {quoted(row['maker'])} IN SCHEMA {schema.identity} "
                f"REVOKE ALL ON {row['kind']} FROM {quoted(row['role'])}"
            )

    # ---- afterwards ------------------------------------------------------------------------------------------

    async def _report(self) -> tuple[RoleRights, ...]:
        effective = await self._rights("database/effective_rights")
        described = await self._adapter.fetch_all(
            Named("database/describe_roles"), list(self._parts), self._owner
        )
        about = {row["role"]: row for row in described}
        return tuple(
            self._rights_of(role, parts, effective[role], about[role]) for role, parts in self._parts.items()
        )

    def _rights_of(
        self, role: str, parts: tuple[Part, ...], effective: Mapping[str, set[str]], about: Any
    ) -> RoleRights:
        beyond: list[str] = []
        if about["is_superuser"]:
            beyond.append(f"{role} is a superuser: no right binds it")
        elif about["is_member"]:
            beyond.append(f"{role} is a member of {self._owner}, which owns the store: it may do everything")
        else:
            for one in self._objects:
                if one.kind == "database":
                    continue
                more = effective.get(one.identity, set()) - self.wanted(one, parts)
                if not parts:  # rights of PUBLIC cannot be revoked from one role
                    more -= _HARMLESS[one.kind]
                if more:
                    beyond.append(
                        f"{role} may {', '.join(sorted(more))} on {one.kind} {one.name}, by a right of PUBLIC or by its "
                        "membership in another role"
                    )
        beyond += [f"{role} owns the {owned}" for owned in about["owns"]]
        rights = {
            one.name: tuple(sorted(effective[one.identity]))
            for one in self._objects
            if one.kind != "database" and effective.get(one.identity)
        }
        return RoleRights(role, parts, rights, tuple(beyond))
