"""TLS in every mode, against a server with a certificate, one without, and one that asks for the client's."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from eventstore import errors
from eventstore.database import ConnectionFactory, PostgreSQLAdapter
from tests.servers import SYSTEM_BINARIES, Server, Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

OPENSSL = shutil.which("openssl")

pytestmark = [
    pytest.mark.skipif(OPENSSL is None, reason="openssl makes the certificates and is not installed"),
    pytest.mark.skipif(
        not SYSTEM_BINARIES, reason="the embedded server has no TLS: it needs a PostgreSQL of the system"
    ),
]

MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


def openssl(*arguments: str | Path) -> None:
    """Run openssl."""
    subprocess.run([str(OPENSSL), *map(str, arguments)], check=True, capture_output=True)


@dataclass
class Certificates:
    """An authority, and a key and a certificate of each kind that a test needs."""

    folder: Path

    def __getattr__(self, name: str) -> Path:
        """`root`, `root_key`, `server`, `server_key` ... are files."""
        kind, _, key = name.partition("_")
        return self.folder / (f"{kind}.key" if key else f"{kind}.crt")

    def make_authority(self, name: str) -> None:
        """Make an authority of this name."""
        openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-keyout", self.folder / f"{name}.key", "-out", self.folder / f"{name}.crt"),
        )

    def issue(self, name: str, *, authority: str, common_name: str, alternative: str | None = None) -> None:
        """Let an authority sign a new key."""
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative}\n" if alternative else "\n")
        openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={common_name}"),
            *("-keyout", self.folder / f"{name}.key", "-out", request),
        )
        openssl(
            *("x509", "-req", "-days", "2", "-in", request, "-extfile", extensions, "-CAcreateserial"),
            *("-CA", self.folder / f"{authority}.crt", "-CAkey", self.folder / f"{authority}.key"),
            *("-out", self.folder / f"{name}.crt"),
        )


@pytest_asyncio.fixture(autouse=True)
async def _transports_end() -> AsyncIterator[None]:
    """A refused TLS transport of asyncio ends in the background, and offers nothing to wait for."""
    yield
    await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def certificates() -> Iterator[Certificates]:
    """An authority that signs a server and a client, and another that signs a client too."""
    service = Service()
    made = Certificates(service.folder)
    for name in ("root", "stranger"):
        made.make_authority(name)
    made.issue("server", authority="root", common_name="127.0.0.1", alternative="IP:127.0.0.1")
    made.issue("client", authority="root", common_name="postgres")
    made.issue("forged", authority="stranger", common_name="postgres")
    service.own(*service.folder.iterdir())
    yield made
    service.remove()


@pytest.fixture(scope="module")
def encrypted(certificates: Certificates) -> Iterator[Server]:
    """A server that takes connections with TLS and without."""
    settings = {
        "ssl": "on",
        "ssl_cert_file": str(certificates.server),
        "ssl_key_file": str(certificates.server_key),
        "ssl_ca_file": str(certificates.root),
    }
    with Server(binaries=SYSTEM_BINARIES[0], settings=settings) as server:
        yield server


@pytest.fixture(scope="module")
def plain() -> Iterator[Server]:
    """A server without TLS."""
    with Server(binaries=SYSTEM_BINARIES[0]) as server:
        yield server


@pytest.fixture
def demanding(encrypted: Server) -> Iterator[Server]:
    """The server while it takes only clients with a certificate in the name of their role."""
    before = (encrypted.data / "pg_hba.conf").read_text()
    encrypted.set_hba("local all all trust", "hostssl all all 127.0.0.1/32 cert")
    encrypted.reload()
    yield encrypted
    encrypted.set_hba(before)
    encrypted.reload()


async def is_encrypted(server: Server, **changes: Any) -> bool:
    """Connect through the port, and ask the server whether that is encrypted."""
    config = server.tcp_config(min_pool_size=0, **changes)
    async with await ConnectionFactory.create_connection(config) as connection:
        return (await PostgreSQLAdapter(connection).connection_info()).encrypted


def root_of(certificates: Certificates, mode: str) -> str | None:
    """The authority's file, for the modes that look at it."""
    return str(certificates.root) if mode.startswith("verify") else None


@pytest.mark.parametrize("mode", MODES)
async def test_modes_with_a_server_that_can(encrypted: Server, certificates: Certificates, mode: str):
    """`disable` and `allow` get on without, all others are encrypted."""
    expected = mode not in {"disable", "allow"}
    assert (
        await is_encrypted(encrypted, ssl_mode=mode, ssl_root_cert_file=root_of(certificates, mode))
        is expected
    )


@pytest.mark.parametrize("mode", MODES)
async def test_modes_with_a_server_that_cannot(plain: Server, certificates: Certificates, mode: str):
    """`disable`, `allow` and `prefer` connect all the same; the others never without."""
    root = root_of(certificates, mode)
    if mode in {"disable", "allow", "prefer"}:
        assert not await is_encrypted(plain, ssl_mode=mode, ssl_root_cert_file=root)
        return
    with pytest.raises(errors.ConnectionError, match="cannot connect"):
        await is_encrypted(plain, ssl_mode=mode, ssl_root_cert_file=root)


async def test_allow_encrypts_where_the_server_demands_it(encrypted: Server):
    """The second attempt is with TLS."""
    before = (encrypted.data / "pg_hba.conf").read_text()
    encrypted.set_hba("hostssl all all 127.0.0.1/32 scram-sha-256")
    encrypted.reload()
    try:
        assert await is_encrypted(encrypted, ssl_mode="allow")
        with pytest.raises(errors.ConnectionRejectedError, match=r"pg_hba\.conf"):
            await is_encrypted(encrypted, ssl_mode="disable")
    finally:
        encrypted.set_hba(before)
        encrypted.reload()


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_a_server_of_a_strange_authority(encrypted: Server, certificates: Certificates, mode: str):
    """It is refused, without attempts, and the message says what to look at."""
    with pytest.raises(errors.ConnectionRejectedError, match=r"encryption failed.*certificates") as caught:
        await is_encrypted(encrypted, ssl_mode=mode, ssl_root_cert_file=str(certificates.stranger))
    assert not caught.value.retryable


async def test_a_server_of_another_name(encrypted: Server, certificates: Certificates):
    """`verify-full` compares the name, `verify-ca` does not."""
    root = str(certificates.root)
    assert await is_encrypted(encrypted, host="localhost", ssl_mode="verify-ca", ssl_root_cert_file=root)
    with pytest.raises(errors.ConnectionRejectedError, match="encryption failed"):
        await is_encrypted(encrypted, host="localhost", ssl_mode="verify-full", ssl_root_cert_file=root)


async def test_verifying_needs_an_authority(
    encrypted: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Without a file, and without one at libpq's place, that is a fault of the configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(errors.ConfigurationError, match=r"root\.crt"):
        await is_encrypted(encrypted, ssl_mode="verify-full")


async def test_a_client_certificate(demanding: Server, certificates: Certificates):
    """With it, no password is needed; without it, or with a forged one, nobody comes in."""
    tls = {"ssl_mode": "verify-full", "ssl_root_cert_file": str(certificates.root), "password": None}
    mine = {"ssl_cert_file": str(certificates.client), "ssl_key_file": str(certificates.client_key)}
    assert await is_encrypted(demanding, **tls, **mine)
    with pytest.raises(errors.ConnectionRejectedError):
        await is_encrypted(demanding, **tls)
    forged = {"ssl_cert_file": str(certificates.forged), "ssl_key_file": str(certificates.forged_key)}
    with pytest.raises(errors.ConnectionError):
        await is_encrypted(demanding, **tls, **forged)
    with pytest.raises(errors.ConnectionRejectedError):
        await is_encrypted(demanding, **(tls | {"user": "somebody_else"}), **mine)


async def test_a_key_of_another_certificate(demanding: Server, certificates: Certificates):
    """The message says that the encryption failed, and no key is in it."""
    with pytest.raises(errors.ConnectionRejectedError, match="encryption failed"):
        await is_encrypted(
            demanding,
            ssl_mode="require",
            ssl_cert_file=str(certificates.client),
            ssl_key_file=str(certificates.forged_key),
        )


async def test_a_wrong_password(encrypted: Server):
    """It is refused in one line, in which it is not repeated."""
    with pytest.raises(errors.ConnectionRejectedError, match="password") as caught:
        await is_encrypted(encrypted, password="wr0ng-w0rd")
    assert "wr0ng-w0rd" not in str(caught.value) + repr(caught.value.__cause__)
    assert caught.value.sqlstate == "28P01"


async def test_cancelling_through_tls(encrypted: Server, certificates: Certificates):
    """A statement over its limit is cancelled on the server also where that needs TLS."""
    config = encrypted.tcp_config(ssl_mode="verify-full", ssl_root_cert_file=str(certificates.root))
    async with await ConnectionFactory.create_connection(config) as connection:
        adapter = PostgreSQLAdapter(connection)
        with pytest.raises(errors.TimeoutError):
            await adapter.fetch_value("SELECT pg_sleep(30)", timeout_s=0.05)
        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        assert await adapter.fetch_value(sleeping) == 0
