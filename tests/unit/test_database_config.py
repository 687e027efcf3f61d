"""Where a configuration comes from, what it refuses, and that it keeps its password to itself."""

from __future__ import annotations

import logging
import pickle
import traceback
from pathlib import Path

import pytest

from eventstore.database import DatabaseConfig
from eventstore.database.connecting import connect_arguments
from eventstore.errors import ConfigurationError

SECRET = "hunter2-very-secret"


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith(("DATABASE_", "PG"))]:
        monkeypatch.delenv(name)


def test_every_default():
    """The defaults are these, and change only with this test."""
    assert DatabaseConfig().model_dump() == {
        "host": "localhost",
        "port": 5432,
        "database": "postgres",
        "user": "postgres",
        "schema": None,
        "target_session_attrs": "primary",
        "password": None,
        "min_pool_size": 5,
        "max_pool_size": 20,
        "max_idle_time": 300.0,
        "max_lifetime": 3600.0,
        "command_timeout": 30.0,
        "connect_timeout": 10.0,
        "ssl_mode": "prefer",
        "ssl_cert_file": None,
        "ssl_key_file": None,
        "ssl_root_cert_file": None,
        "statement_cache_size": 100,
        "group_commit": True,
        "fold_delay": 0.05,
        "unsaved": "error",
        "loads": "row",
        "postpone_gc": False,
        "direct_url": None,
    }


def test_every_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Each field has its variable."""
    file = tmp_path / "some.pem"
    file.write_text("x")
    variables = {
        "HOST": "db.example",
        "PORT": "5433",
        "NAME": "ai_trader",
        "USER": "trader",
        "PASSWORD": SECRET,
        "SCHEMA": "desk one",
        "TARGET_SESSION_ATTRS": "any",
        "MIN_POOL_SIZE": "1",
        "MAX_POOL_SIZE": "2",
        "MAX_IDLE_TIME": "3.5",
        "MAX_LIFETIME": "4.5",
        "COMMAND_TIMEOUT": "5.5",
        "CONNECT_TIMEOUT": "6.5",
        "SSL_MODE": "verify-full",
        "SSL_CERT_FILE": str(file),
        "SSL_KEY_FILE": str(file),
        "SSL_ROOT_CERT_FILE": str(file),
        "STATEMENT_CACHE_SIZE": "0",
        "GROUP_COMMIT": "false",
        "FOLD_DELAY": "0.25",
        "UNSAVED": "save",
        "LOADS": "stream",
        "POSTPONE_GC": "true",
        "DIRECT_URL": f"postgresql://u:{SECRET}@direct.example/db",
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"DATABASE_{name}", value)
    config = DatabaseConfig.from_env()
    assert config.password is not None
    assert config.password.get_secret_value() == SECRET
    assert config.direct_url is not None
    assert config.model_dump(exclude={"password", "direct_url"}) == {
        "host": "db.example",
        "port": 5433,
        "database": "ai_trader",
        "user": "trader",
        "schema": "desk one",
        "target_session_attrs": "any",
        "min_pool_size": 1,
        "max_pool_size": 2,
        "max_idle_time": 3.5,
        "max_lifetime": 4.5,
        "command_timeout": 5.5,
        "connect_timeout": 6.5,
        "ssl_mode": "verify-full",
        "ssl_cert_file": str(file),
        "ssl_key_file": str(file),
        "ssl_root_cert_file": str(file),
        "statement_cache_size": 0,
        "group_commit": False,
        "fold_delay": 0.25,
        "unsaved": "save",
        "loads": "stream",
        "postpone_gc": True,
    }


def test_a_small_pool_needs_no_minimum_of_its_own(monkeypatch: pytest.MonkeyPatch):
    """The default minimum gives way to a maximum below it, one that was given does not."""
    monkeypatch.setenv("DATABASE_MAX_POOL_SIZE", "3")
    assert DatabaseConfig.from_env().min_pool_size == 3
    assert DatabaseConfig(max_pool_size=20).replace(max_pool_size=2).min_pool_size == 2
    assert DatabaseConfig(max_pool_size=2).replace(max_pool_size=20).min_pool_size == 2
    with pytest.raises(ConfigurationError, match="DATABASE_MIN_POOL_SIZE"):
        DatabaseConfig(min_pool_size=5)
    with pytest.raises(ConfigurationError, match="DATABASE_MIN_POOL_SIZE"):
        DatabaseConfig(max_pool_size=20).replace(min_pool_size=5, max_pool_size=2)


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch):
    """As in a compose file that passes on what is not there."""
    for name in ("URL", "HOST", "PORT", "PASSWORD", "SSL_CERT_FILE"):
        monkeypatch.setenv(f"DATABASE_{name}", "")
    assert DatabaseConfig.from_env() == DatabaseConfig.from_url("postgresql://localhost")


def test_url_wins_over_the_other_variables(monkeypatch: pytest.MonkeyPatch):
    """The address is all of the URL; what it cannot or does not say comes from the other variables."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://trader@db.example/ai_trader")
    monkeypatch.setenv("DATABASE_HOST", "elsewhere")
    monkeypatch.setenv("DATABASE_PORT", "9999")
    monkeypatch.setenv("DATABASE_USER", "other")
    monkeypatch.setenv("DATABASE_PASSWORD", SECRET)
    monkeypatch.setenv("DATABASE_MAX_POOL_SIZE", "7")
    monkeypatch.setenv("DATABASE_SSL_MODE", "require")
    config = DatabaseConfig.from_env()
    assert (config.host, config.port, config.user, config.database) == (
        "db.example",
        5432,
        "trader",
        "ai_trader",
    )
    assert (config.max_pool_size, config.ssl_mode) == (7, "require")
    assert config.password is not None
    assert config.password.get_secret_value() == SECRET


def test_a_keyword_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch):
    """And what no keyword says is looked up."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://trader@db.example:6000/ai_trader")
    config = DatabaseConfig(database="ai_trader_test", max_pool_size=6)
    assert (config.host, config.port, config.database) == ("db.example", 6000, "ai_trader_test")


def test_from_url_takes_no_address_or_password_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    """A password is not sent to a server that it was not meant for."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://a:{SECRET}@one/db")
    monkeypatch.setenv("DATABASE_PASSWORD", SECRET)
    monkeypatch.setenv("DATABASE_PORT", "9999")
    monkeypatch.setenv("DATABASE_MAX_POOL_SIZE", "6")
    config = DatabaseConfig.from_url("postgresql://two")
    assert (config.host, config.port, config.user, config.database) == ("two", 5432, "postgres", "postgres")
    assert config.password is None
    assert config.max_pool_size == 6


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@h:1/d", {"user": "u", "host": "h", "port": 1, "database": "d"}),
        ("postgres://h", {"host": "h"}),
        ("postgresql://", {"host": "localhost", "port": 5432, "database": "postgres", "user": "postgres"}),
        ("postgresql:///d?host=/run/pg", {"host": "/run/pg", "database": "d"}),
        ("postgresql://u:@/d?host=/run/pg&port=6432", {"host": "/run/pg", "port": 6432, "password": None}),
        ("postgresql://%2Frun%2FPG/d", {"host": "/run/PG"}),
        ("postgresql://u@[::1]:5433/d", {"host": "::1", "port": 5433}),
        ("postgresql://u@[fe80::1%25eth0]/d", {"host": "fe80::1%eth0", "port": 5432}),
        (
            "postgresql://u@h/d?sslmode=require&connect_timeout=3",
            {"ssl_mode": "require", "connect_timeout": 3.0},
        ),
        ("postgresql://a%20b@h/my%2Fdb", {"user": "a b", "database": "my/db"}),
        ("postgresql://h?user=q&dbname=w", {"user": "q", "database": "w"}),
        (
            "postgresql://a+b@/d?host=/run/a+b&dbname=c+d",
            {"user": "a+b", "host": "/run/a+b", "database": "c+d"},
        ),
    ],
)
def test_url_forms(url: str, expected: dict[str, object]):
    """The forms of a URL that libpq knows."""
    config = DatabaseConfig.from_url(url)
    assert {name: getattr(config, name) for name in expected} == expected


@pytest.mark.parametrize("password", ["p@ss", "a:b/c?d#e", "100%", "[x]", "ünï¢ode ", "%41", "a+b"])
def test_percent_encoded_password(password: str):
    """Any password can be written into a URL, as a login and as a parameter."""
    from urllib.parse import quote

    encoded = quote(password, safe="")
    for url in (f"postgresql://u:{encoded}@h/d", f"postgresql://u@h/d?password={encoded}"):
        config = DatabaseConfig.from_url(url)
        assert config.password is not None
        assert config.password.get_secret_value() == password


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://u:{SECRET}@h/d",
        f"u:{SECRET}@h/d",
        f"postgresql://u:{SECRET}/x@h/d",
        f"postgresql://u:1/{SECRET}@h/d",
        f"postgresql://u:{SECRET}#x@h/d",
        f"postgresql://u:x#{SECRET}@h/d",
        f"postgresql://u:x?{SECRET}@h/d",
        f"postgresql://u:x?y={SECRET}@h/d",
        f"postgresql://u@h:{SECRET}/d",
        f"postgresql://u:p@[{SECRET}/d",
        f"postgresql://u:p@[::1]{SECRET}/d",
        f"postgresql://u:p@a,{SECRET}/d",
        f"postgresql://u:{SECRET}@h/d?no_such_parameter={SECRET}",
        f"postgresql://u:{SECRET}@h/d?sslmode={SECRET}",
        f"postgresql://u:{SECRET}@h:70000/d",
        f"postgresql://u:{SECRET}@h/d?connect_timeout={SECRET}",
        f"postgresql://u:{SECRET}\uff0f@h/d",
        f"postgresql://u:{SECRET}%00@h/d",
    ],
)
@pytest.mark.parametrize("variable", ["DATABASE_URL", "DATABASE_DIRECT_URL"])
def test_a_bad_url_is_refused_without_being_repeated(
    url: str, variable: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """However a URL is broken, no part of it is in the message, the traceback or the log."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(variable, url)
    with pytest.raises(ConfigurationError) as caught:
        DatabaseConfig.from_env().direct()
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in repr(caught.value.__context__)
    assert SECRET not in repr(caught.value.__cause__)
    assert SECRET not in caplog.text


def test_the_password_is_nowhere():
    """Not in repr, str, the dump as JSON, a format, or what an attempt to change it says."""
    config = DatabaseConfig(password=SECRET, direct_url=f"postgresql://u:{SECRET}@h/d")
    for shown in (repr(config), str(config), config.model_dump_json(), f"{config}", config.address):
        assert SECRET not in shown
    with pytest.raises(ConfigurationError) as caught:
        config.password = SECRET  # type: ignore[misc, assignment]
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(connect_arguments(config))


def test_a_refused_password_is_not_repeated():
    """Pydantic's own error holds its input, so it is not even the context of ours."""
    with pytest.raises(ConfigurationError) as caught:
        DatabaseConfig(password=f"{SECRET}\0", port=0)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("PORT", "0", "1 to 65535"),
        ("PORT", "65536", "1 to 65535"),
        ("PORT", "five", "1 to 65535"),
        ("MIN_POOL_SIZE", "-1", "0 to DATABASE_MAX_POOL_SIZE"),
        ("MIN_POOL_SIZE", "21", "0 to DATABASE_MAX_POOL_SIZE"),
        ("MAX_POOL_SIZE", "0", "1 to 1000"),
        ("MAX_POOL_SIZE", "1001", "1 to 1000"),
        ("MAX_IDLE_TIME", "-1", "0 (never) to 86400"),
        ("MAX_IDLE_TIME", "nan", "0 (never) to 86400"),
        ("MAX_LIFETIME", "inf", "0 (for ever) to 604800"),
        ("COMMAND_TIMEOUT", "0", "0.001 to 86400"),
        ("CONNECT_TIMEOUT", "3601", "0.001 to 3600"),
        ("TARGET_SESSION_ATTRS", "standby", "any, primary"),
        ("SSL_MODE", "strict", "disable, allow, prefer, require, verify-ca, verify-full"),
        ("SSL_CERT_FILE", "/no/such/file", "readable file"),
        ("SSL_KEY_FILE", "/no/such/file", "readable file"),
        ("SSL_ROOT_CERT_FILE", "/", "readable file"),
        ("STATEMENT_CACHE_SIZE", "10001", "0 (none) to 10000"),
        ("GROUP_COMMIT", "perhaps", "true or false"),
        ("UNSAVED", "ignore", "error or save"),
        ("LOADS", "table", "row or stream"),
        ("POSTPONE_GC", "sometimes", "true or false"),
        ("NAME", "x" * 64, "1 to 63 bytes"),
        ("NAME", "ü" * 32, "1 to 63 bytes"),
        ("USER", "x" * 64, "1 to 63 bytes"),
        ("HOST", "a b", "host name"),
        ("HOST", "a,b", "host name"),
        ("DIRECT_URL", "http://h", "postgresql://"),
    ],
)
def test_a_bad_value_names_its_variable_and_what_is_allowed(
    variable: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch
):
    """One line that tells which variable is wrong and what it may be."""
    monkeypatch.setenv(f"DATABASE_{variable}", value)
    with pytest.raises(ConfigurationError) as caught:
        DatabaseConfig.from_env()
    message = str(caught.value)
    assert f"DATABASE_{variable}" in message
    assert allowed in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgresql://h/d?sslmode=strict", "sslmode of a URL"),
        ("postgresql://h:70000/d", "port of a URL"),
        (f"postgresql://h/{'x' * 64}", "dbname of a URL"),
    ],
)
def test_a_bad_value_in_a_url_names_its_place(url: str, named: str, monkeypatch: pytest.MonkeyPatch):
    """The variable of its own may not even be set; and a direct URL is looked at before it is needed."""
    with pytest.raises(ConfigurationError, match=named):
        DatabaseConfig.from_url(url)
    monkeypatch.setenv("DATABASE_DIRECT_URL", url)
    with pytest.raises(ConfigurationError, match=rf"in DATABASE_DIRECT_URL .*{named}"):
        DatabaseConfig.from_env()


def test_two_bad_values_are_both_named():
    """So that they need not be found one by one."""
    with pytest.raises(ConfigurationError, match=r"DATABASE_PORT.*DATABASE_SSL_MODE"):
        DatabaseConfig(port=0, ssl_mode="no")


def test_an_unknown_keyword_is_named():
    """A slip of the pen is no silent default."""
    with pytest.raises(ConfigurationError, match="no setting 'prot': did you mean 'port'"):
        DatabaseConfig(prot=5433)  # type: ignore[call-arg]


def test_a_key_needs_its_certificate(tmp_path: Path):
    """A key alone proves nothing."""
    key = tmp_path / "key.pem"
    key.write_text("x")
    with pytest.raises(ConfigurationError, match="DATABASE_SSL_CERT_FILE"):
        DatabaseConfig(ssl_key_file=str(key))


def test_no_env_file_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """What happens to lie in the working folder decides nothing."""
    (tmp_path / ".env").write_text("DATABASE_HOST=elsewhere\nHOST=elsewhere\n")
    monkeypatch.chdir(tmp_path)
    assert DatabaseConfig.from_env().host == "localhost"


def test_only_our_variables_are_read(monkeypatch: pytest.MonkeyPatch):
    """`HOST` and `USER` are set in many shells and mean something else."""
    for name in ("HOST", "USER", "PORT", "DATABASE", "PASSWORD"):
        monkeypatch.setenv(name, "7777")
    assert DatabaseConfig.from_env() == DatabaseConfig.from_url("postgresql://localhost")


def test_it_is_immutable_and_equal_by_value():
    """So that a pool's configuration is what the pool was made with; it can be a key and be pickled."""
    one, other = DatabaseConfig(host="h", password="p"), DatabaseConfig(host="h", password="p")
    assert one == other
    assert hash(one) == hash(other)
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(ConfigurationError, match="cannot be changed"):
        one.host = "elsewhere"  # type: ignore[misc]


def test_replace_validates():
    """A changed copy obeys the same rules."""
    config = DatabaseConfig(host="h", password=SECRET)
    changed = config.replace(database="other")
    assert (changed.host, changed.database, changed.password) == ("h", "other", config.password)
    with pytest.raises(ConfigurationError, match="DATABASE_PORT"):
        config.replace(port=-1)


def test_direct_is_another_address_with_the_same_rest():
    """The direct URL says where and who; TLS stays; it is one connection, made when wanted."""
    config = DatabaseConfig(
        host="pooler", port=6432, ssl_mode="require", direct_url=f"postgresql://u:{SECRET}@db:5433/d"
    )
    direct = config.direct()
    assert direct is not None
    assert (direct.host, direct.port, direct.user, direct.database) == ("db", 5433, "u", "d")
    assert (direct.ssl_mode, direct.min_pool_size, direct.max_pool_size) == ("require", 0, 1)
    assert DatabaseConfig().direct() is None


def test_only_harmless_startup_parameters_are_sent():
    """PgBouncer refuses a connection with a start-up parameter that it does not know."""
    assert connect_arguments(DatabaseConfig())["server_settings"] == {"application_name": "eventstore"}
