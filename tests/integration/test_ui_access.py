"""Who may see the inspector and who may change something with it; and that reading changes nothing."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from eventstore.errors import ConfigurationError
from eventstore.ui import Token, inspector
from tests.inspected_store import fold, inspected, quarantined, sealed
from tests.inspector_client import HOST, Page, addresses, browsing, job_of

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from eventstore.store import EventStore

SECRET = "a-secret-of-the-inspector"
OPERATIONS = (
    "/projection/rebuild?name=orders",
    "/projection/retry?name=orders",
    "/projection/discard?name=orders",
    "/evidence/seal",
)


async def digest_of_tables(store: EventStore) -> dict[str, str]:
    """A digest of the rows of each table of the store's schema, without the leases that workers renew."""
    digests = {}
    async with store.connection.acquire() as connection:
        names = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
        )
        for (name,) in names:
            rows = await connection.fetch(f'SELECT t::text FROM "{name}" AS t ORDER BY 1')
            digests[name] = hashlib.sha256("\n".join(row[0] for row in rows).encode()).hexdigest()
    return digests


async def test_reading_changes_nothing(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """After every address was asked for, with operations allowed, every row of every table is what it was."""
    shown = await inspected(store)
    await quarantined(store, monkeypatch)
    await sealed(store)
    before = await digest_of_tables(store)
    assert len(before) > 10
    async with browsing(store, allow_operations=True) as client:
        for paths in addresses(shown).values():
            for path in paths:
                await client.get(path)
                await client.head(path)
        await job_of(client, "verification")
    assert await digest_of_tables(store) == before


@pytest.mark.parametrize("path", OPERATIONS)
async def test_an_operation_is_refused_unless_it_is_allowed(store: EventStore, path: str):
    """Not even with a good CSRF token: that of another inspector of the same process is none either."""
    await fold(store)
    async with browsing(store, allow_operations=True) as allowed, browsing(store) as reading:
        token = Page((await allowed.get("/evidence")).text).value_of("csrf_token")
        answer = await reading.post(path, data={"csrf_token": token, "key": "x", "by": "me", "reason": "no"})
        assert answer.status_code == 403
        assert "only reads" in answer.text
        assert "csrf_token" not in (await reading.get("/evidence")).text
        assert "csrf_token" not in (await reading.get("/projection?name=orders")).text


@pytest.mark.parametrize("path", OPERATIONS)
async def test_an_operation_needs_the_token_of_its_form(store: EventStore, path: str):
    """A request without it, with another one, from another site, or that is no form does nothing."""
    await fold(store)
    async with browsing(store, allow_operations=True) as client:
        token = Page((await client.get("/evidence")).text).value_of("csrf_token")
        before = await digest_of_tables(store)
        for form in ({}, {"csrf_token": ""}, {"csrf_token": token[:-1] + ("0" if token[-1] != "0" else "1")}):
            assert (await client.post(path, data=form)).status_code in (403, 415), form
        from_elsewhere = await client.post(
            path, data={"csrf_token": token}, headers={"Sec-Fetch-Site": "cross-site"}
        )
        assert from_elsewhere.status_code == 403
        assert (await client.post(path, json={"csrf_token": token})).status_code == 415
        assert (await client.post(path, data={"csrf_token": token, "x": "y" * 70_000})).status_code == 413
        assert (await client.get(path)).status_code == 405
        assert await digest_of_tables(store) == before


async def test_the_first_visit_brings_the_token(store: EventStore):
    """It is answered with a cookie that scripts and other sites cannot use, and with the address without the token."""
    async with browsing(store, authenticate=Token(SECRET)) as client:
        assert (await client.get("/")).status_code == 401
        assert (await client.get("/static/inspector.js")).status_code == 401
        assert (await client.get("/?token=another-secret-altogether")).status_code == 401
        assert (await client.get("/?token=")).status_code == 401
        first = await client.get(f"/events?type=OrderCreated&token={SECRET}")
        assert (first.status_code, first.headers["location"]) == (303, "/events?type=OrderCreated")
        cookie = first.headers["set-cookie"]
        for part in ("HttpOnly", "SameSite=strict", "Path=/"):
            assert part in cookie
        assert SECRET not in cookie
        assert (await client.get("/")).status_code == 200
        client.cookies.clear()
        assert (await client.get("/")).status_code == 401


async def test_the_way_back_stays_on_this_server(store: EventStore):
    """A path that looks like another host does not become one."""
    async with browsing(store, authenticate=Token(SECRET)) as client:
        answer = await client.get(f"{HOST}//evil.example/?token={SECRET}")
        assert answer.headers["location"].startswith("/evil.example")


async def test_a_cookie_of_one_inspector_is_none_of_another(store: EventStore):
    """Two inspectors with one token, as after a restart: the old cookie is refused."""
    async with (
        browsing(store, authenticate=Token(SECRET)) as one,
        browsing(store, authenticate=Token(SECRET)) as other,
    ):
        await one.get(f"/?token={SECRET}")
        other.cookies = one.cookies
        assert (await other.get("/")).status_code == 401


def test_a_token_is_long():
    """A short one could be guessed; and it is in no repr."""
    with pytest.raises(ConfigurationError, match="16 characters"):
        Token("short")
    assert SECRET not in repr(Token(SECRET))


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_function_names_the_caller(store: EventStore, is_async: bool):
    """Whom it does not name is refused; a name is the person of a discard."""

    def name_of(connection: HTTPConnection) -> str | None:
        return connection.headers.get("x-user")

    async def name_later(connection: HTTPConnection) -> str | None:
        return name_of(connection)

    hook: Any = name_later if is_async else name_of
    async with browsing(store, authenticate=hook) as client:
        assert (await client.get("/")).status_code == 401
        for nobody in ("", " "):
            assert (await client.get("/", headers={"X-User": nobody})).status_code == 401
        answer = await client.get("/", headers={"X-User": "<b>risk</b>"})
        assert answer.status_code == 200
        assert "&lt;b&gt;risk&lt;/b&gt;" in answer.text


async def test_a_form_of_one_caller_is_none_of_another(store: EventStore):
    """The CSRF token belongs to the name."""

    def name_of(connection: HTTPConnection) -> str | None:
        return connection.headers.get("x-user")

    async with browsing(store, authenticate=name_of, allow_operations=True) as client:
        page = Page((await client.get("/evidence", headers={"X-User": "a"})).text)
        form = {"csrf_token": page.value_of("csrf_token")}
        assert (await client.post("/evidence/seal", data=form, headers={"X-User": "b"})).status_code == 403
        assert (await client.post("/evidence/seal", data=form, headers={"X-User": "a"})).status_code == 303


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("127.0.0.1:8765", 200),
        ("[::1]", 200),
        ("[::1]:8765", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("evil.example:8765", 421),
        ("", 421),
    ],
)
async def test_the_server_answers_to_its_own_names_only(store: EventStore, host: str, status: int):
    """A page of another site cannot reach it under a name that leads here (DNS rebinding)."""
    async with browsing(store) as client:
        assert (await client.get("/evidence", headers={"Host": host})).status_code == status


async def test_every_answer_forbids_what_is_not_ours(store: EventStore):
    """Scripts, frames and forms of others, and copies in caches: also of errors and refusals."""
    async with browsing(store, authenticate=Token(SECRET)) as client:
        refused = await client.get("/")
        await client.get(f"/?token={SECRET}")
        answers = [
            refused,
            await client.get("/"),
            await client.get("/nothing"),
            await client.post("/evidence/seal"),
        ]
        answers.append(await client.get("/", headers={"Host": "evil.example"}))
        for answer in answers:
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self';" in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"


async def test_it_is_mounted_in_another_application(store: EventStore):
    """Every link, form and cookie stays below its path."""
    from starlette.applications import Starlette
    from starlette.routing import Mount

    app = Starlette(
        routes=[Mount("/inspect", inspector(store, authenticate=Token(SECRET), allow_operations=True))]
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOST) as client:
        first = await client.get(f"/inspect/blotter/orders?token={SECRET}")
        assert first.headers["location"] == "/inspect/blotter/orders"
        assert "Path=/inspect" in first.headers["set-cookie"]
        page = Page((await client.get("/inspect/")).text)
        assert all(link.startswith(("/inspect/", "#")) for link in page.links())
        forms = [attributes["action"] for tag, attributes in page.tags if tag == "form"]
        assert all(action is not None and action.startswith("/inspect/") for action in forms)
        assert (await client.get("/inspect/evidence")).status_code == 200
        token = Page((await client.get("/inspect/evidence")).text).value_of("csrf_token")
        sealed_now = await client.post("/inspect/evidence/seal", data={"csrf_token": token})
        assert sealed_now.headers["location"] == "/inspect/evidence"


async def test_a_projection_has_one_name(store: EventStore):
    """Two with one name would make an operation ambiguous."""
    from projections import OrdersProjection

    with pytest.raises(ConfigurationError, match="orders"):
        inspector(store, authenticate=None, projections=[OrdersProjection()])
