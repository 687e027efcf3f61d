"""The proof of one event: it holds without the database, and nothing in it can be changed."""

from __future__ import annotations

import asyncio
import copy
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from eventstore.errors import ConfigurationError
from eventstore.evidence import Head, check_proof, prove, seal, verify
from eventstore.evidence.canonical import Seal, merkle_path, merkle_root, root_of_path
from tests.command_line import run, start
from tests.conftest import url_of
from tests.entities import everything, started
from tests.integration.independent_verifier import root
from tests.relay import Relay
from tests.scale import examples

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore.store import EventStore


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 64, 100])
def test_every_leaf_leads_to_the_root(size: int):
    """The root equals the recursive definition, and the way from each leaf leads to it and to no other."""
    leaves = [bytes([place]) * 32 for place in range(size)]
    expected = root(leaves)
    assert merkle_root(leaves) == expected
    for place, leaf in enumerate(leaves):
        path = merkle_path(leaves, place)
        assert root_of_path(leaf, path) == expected
        assert root_of_path(b"x" * 32, path) != expected
        assert len(path) <= (size - 1).bit_length()


async def test_every_event_can_be_proved(store: EventStore):
    """By id and by position, to the newest head and to that of its own block; not against another log's head."""
    for _ in range(4):
        await store.log.append(started(tunings=2), metadata={"n": 1.50})
        await seal(store.log, block_events_max=4)
    result = await seal(store.log)
    assert result.head is not None
    for row in await everything(store.connection):
        proof = json.loads(json.dumps(await prove(store.log, row["event_id"])))
        assert proof == await prove(store.log, row["position"])
        checked = check_proof(proof, against=str(result.head))
        assert (checked.event["position"], checked.event["event_id"]) == (
            row["position"],
            str(row["event_id"]),
        )
        assert checked.head == result.head
        first = proof["seals"][0]
        assert (
            check_proof(proof, against=Head(first["block"], bytes.fromhex(first["seal"]))).block
            == checked.block
        )
        with pytest.raises(ConfigurationError, match="none is the head"):
            check_proof(proof, against=Head(result.head.block, bytes(32)))
        with pytest.raises(ConfigurationError, match="none is the head"):
            check_proof(proof, against=Head(result.head.block + 1, result.head.seal))


def _changes(value: Any) -> list[Any]:
    if isinstance(value, int):
        return [value + 1]
    if isinstance(value, str):
        if value in ("left", "right"):
            return ["right" if value == "left" else "left", "up"]
        if len(value) in (32, 36, 64):
            return [("1" if value[0] == "0" else "0") + value[1:], value[:-2]]
        return [value + "x"]
    return []


def _variants(proof: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    node = proof
    for step in path:
        node = node[step]
    if isinstance(node, dict | list):
        keys: Any = node if isinstance(node, dict) else range(len(node))
        return [variant for key in keys for variant in _variants(proof, (*path, key))]
    found = []
    for change in _changes(node):
        variant = copy.deepcopy(proof)
        inner = variant
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = change
        found.append((path, variant))
    return found


async def test_nothing_in_a_proof_can_be_changed(store: EventStore):
    """Each value of the file, changed in the least, makes a proof that does not hold; so does each part left out."""
    await store.log.append(started(tunings=5), metadata={"actor": "me"})
    await seal(store.log, block_events_max=4)
    proof = await prove(store.log, 2)
    head = str((await seal(store.log)).head)
    variants = _variants(proof)
    assert len(variants) > 30
    held = []
    for path, variant in variants:
        try:
            check_proof(variant, against=head)
        except ConfigurationError:
            continue
        held.append(path)
    assert held == []
    for key in proof:
        with pytest.raises(ConfigurationError):
            check_proof({name: value for name, value in proof.items() if name != key}, against=head)
    for number in (2**63, 2**70, -(2**70)):
        with pytest.raises(ConfigurationError):
            check_proof({**proof, "event": {**proof["event"], "position": number}}, against=head)
    for wrong in ({**proof, "seals": []}, {**proof, "seals": proof["seals"][1:]}, {**proof, "path": []}):
        with pytest.raises(ConfigurationError):
            check_proof(wrong, against=head)
    check_proof(proof, against=head)


async def test_what_no_hash_covers_is_refused(store: EventStore, tmp_path: Path):
    """A member that nothing proves, one that is there twice, an id written otherwise: no reader takes it for proved."""
    await store.log.append(started(tunings=1))
    head = str((await seal(store.log)).head)
    proof = await prove(store.log, 2)
    variants = [
        {**proof, "note": "also proved"},
        {**proof, "event": {**proof["event"], "actor": "forged"}},
        {**proof, "seals": [{**proof["seals"][0], "entries": "00"}]},
        {**proof, "event": {**proof["event"], "stream_id": f"{{{proof['event']['stream_id']}}}"}},
        {**proof, "event": {**proof["event"], "event_id": proof["event"]["event_id"].upper() + " "}},
    ]
    for name in ("block", "after_position", "through_position", "events", "sealed_at"):
        variants += [
            {**proof, "seals": [{**proof["seals"][0], name: number}]} for number in (2**63, -(2**70))
        ]
    for variant in variants:
        with pytest.raises(ConfigurationError):
            check_proof(variant, against=head)
    file = tmp_path / "proof.json"
    for text in (
        json.dumps(proof).replace('"type":', '"type": "Forged", "type":'),
        "[" * 100_000,
    ):
        file.write_text(text)
        done = run("check-proof", str(file), "--against", head)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    file.write_text(json.dumps(proof))
    assert run("check-proof", str(file), "--against", head).returncode == 0


async def test_what_cannot_be_proved_says_why(store: EventStore):
    """No such event, one that is not sealed yet, one that is not what was sealed."""
    await store.log.append(started())
    with pytest.raises(ConfigurationError, match="has no event"):
        await prove(store.log, uuid4())
    with pytest.raises(ConfigurationError, match="has no event"):
        await prove(store.log, 17)
    for position in (0, -1, 2**63, -(2**70)):
        with pytest.raises(ConfigurationError, match="has no event"):
            await prove(store.log, position)
    with pytest.raises(ConfigurationError, match="not sealed yet"):
        await prove(store.log, 1)
    await seal(store.log)
    async with store.connection.acquire() as connection:
        await connection.execute("ALTER TABLE events DISABLE TRIGGER ALL")
        await connection.execute("UPDATE events SET type = 'x'")
    with pytest.raises(ConfigurationError, match="differs from what was sealed"):
        await prove(store.log, 1)


async def test_the_commands(store: EventStore, tmp_path: Path):
    """Seal, verify, prove and check a proof from the command line; the status of a log that was altered is 1."""
    url = url_of(store.connection.config)
    await store.log.append(started(tunings=1))
    head = run("seal", "--url", url, "--print").stdout.strip()
    assert head == str((await verify(store.log)).head)
    done = run("verify", "--url", url, "--against", head)
    assert (done.returncode, done.stdout.split(" are ")[0]) == (0, "2 events in 1 blocks")
    event_id = (await everything(store.connection))[1]["event_id"]
    file = tmp_path / "proof.json"
    assert run("prove", str(event_id), "--url", url, "--out", str(file)).returncode == 0
    done = run("check-proof", str(file), "--against", head)
    assert done.returncode == 0
    assert str(event_id) in done.stdout
    assert run("check-proof", str(file), "--against", "1:" + "00" * 32).returncode == 1
    async with store.connection.acquire() as connection:
        await connection.execute("ALTER TABLE events DISABLE TRIGGER ALL")
        await connection.execute("DELETE FROM events WHERE version = 2")
    done = run("verify", "--url", url)
    assert done.returncode == 1
    assert done.stdout.startswith("event removed: the event at position 2, of block 1")


async def test_sealing_goes_on_after_a_lost_connection(store: EventStore):
    """`seal --every` outlives a server that cannot be reached: it says so, and seals what has come meanwhile."""
    async with Relay(store.connection.config) as relay:
        process = start("seal", "--every", "0.05", "--url", url_of(relay.config()))
        assert process.stdout is not None
        assert process.stderr is not None

        async def read(stream: Any, word: str) -> None:
            async with asyncio.timeout(60):
                while word not in (line := await asyncio.to_thread(stream.readline)):
                    assert line, "it has ended"

        try:
            await store.log.append(started())
            await read(process.stdout, "sealed 1 events")
            relay.refuse = True
            async with store.connection.acquire() as connection:
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND pid <> pg_backend_pid()"
                )
            await read(process.stderr, "warning: sealing failed; retrying")
            await store.log.append(started(tunings=1))
            relay.refuse = False
            await read(process.stdout, "sealed 2 events")
        finally:
            process.terminate()
            await asyncio.to_thread(process.communicate, timeout=60)


# ---- the JSON of the canonical form, written down once more from the document ------------------------------------------

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def canonical_json(value: Any) -> str:
    """JSON as the document says; numbers are given as `Decimal`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return format(Decimal(value), "f")
    if isinstance(value, str):
        escaped = (_ESCAPES.get(c) or (c if c >= " " else f"\\u{ord(c):04x}") for c in value)
        return '"' + "".join(escaped) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(canonical_json, value)) + "]"
    items = sorted(value.items(), key=lambda item: (len(item[0].encode()), item[0].encode()))
    return "{" + ", ".join(f"{canonical_json(key)}: {canonical_json(one)}" for key, one in items) + "}"


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
_NUMBER = st.decimals(allow_nan=False, allow_infinity=False, places=None).filter(
    lambda n: abs(n.adjusted()) < 40
)
_VALUE = st.recursive(
    st.none() | st.booleans() | _NUMBER | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


async def test_the_json_of_the_document_is_that_of_the_server(store: EventStore):
    """For any JSON value the text of the stored jsonb is what the document's rules give, number for number."""
    values: list[Any] = []

    @given(_VALUE)
    @settings(max_examples=examples(300), database=None, suppress_health_check=list(HealthCheck))
    def draw(value: Any) -> None:
        values.append(value)

    draw()
    values += [
        {"b": 1, "aa": 2, "a": 3, "": 4, "ü": 5, "\U0001f600": 6, "z" * 300: 7},
        [
            "\u007f\u0080\u2028\ufeff\x01\x1f/<",
            Decimal("1.50"),
            Decimal("0.10"),
            Decimal("-0.0"),
            Decimal("1E+20"),
        ],
    ]
    async with store.connection.acquire() as connection:
        texts = await connection.fetch(
            "SELECT value::jsonb::text AS text FROM unnest($1::text[]) WITH ORDINALITY AS given (value, place) "
            "ORDER BY place",
            [canonical_json(one) for one in values],
        )
    different = [
        (canonical_json(one), row["text"])
        for one, row in zip(values, texts, strict=True)
        if canonical_json(_positive_zero(one)) != row["text"]
    ]
    assert different == []


def _positive_zero(value: Any) -> Any:
    """PostgreSQL's numbers have no negative zero."""
    if isinstance(value, Decimal):
        return abs(value) if value == 0 else value
    if isinstance(value, list):
        return [_positive_zero(one) for one in value]
    if isinstance(value, dict):
        return {key: _positive_zero(one) for key, one in value.items()}
    return value


async def test_a_checked_proof_names_the_head_that_was_kept(store: EventStore):
    """Anybody can add seals after it: the one that was kept is what proves the event, and what to keep."""
    await store.log.append(started(tunings=2))
    kept = (await seal(store.log)).head
    assert kept is not None
    proof = await prove(store.log, 2)
    forged = Seal(2, 3, 9, 6, 0, b"x" * 32, kept.seal, b"")
    added = {
        **vars_of(forged),
        **{name: getattr(forged, name).hex() for name in ("root", "previous")},
        "seal": forged.expected().hex(),
    }
    longer = {**proof, "seals": [*proof["seals"], added]}
    assert check_proof(longer, against=kept).head == kept
    assert check_proof(longer).head == Head(2, forged.expected())
    assert check_proof(proof, against=str(kept)).head == check_proof(proof).head == kept


def vars_of(seal: Seal) -> dict[str, Any]:
    """The numbers of a seal."""
    names = ("block", "after_position", "through_position", "events", "sealed_at")
    return {name: getattr(seal, name) for name in names}


async def test_the_commands_name_the_head_to_keep(store: EventStore, tmp_path: Path):
    """`prove` the one that its proof leads to, `check-proof` the one that was given."""
    await store.log.append(started())
    head = str((await seal(store.log)).head)
    file = tmp_path / "proof.json"
    done = run("prove", 1, "--out", file, "--url", url_of(store.connection.config))
    assert (done.returncode, head in done.stdout) == (0, True)
    assert (file.stat().st_mode & 0o777) == 0o600
    done = run("check-proof", file, "--against", head)
    assert (done.returncode, f"the head {head} proves it" in done.stdout) == (0, True)
