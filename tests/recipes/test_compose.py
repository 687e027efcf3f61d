"""The file of docs/recipes/docker.md: its commands are those of the real command line, and run in its order."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from eventstore.database import DatabaseConfig
from tests.conftest import url_of
from tests.recipes.pages import block_with
from tools.lint import commands

PAGE = "docs/recipes/docker.md"
COMPOSE = block_with(PAGE, "yaml", "services:")
EVENTSTORE = str(Path(sys.executable).with_name("eventstore"))


def services() -> dict[str, Any]:
    """The services of the file, with what they merge in."""
    read: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
    return read


def test_docker_accepts_the_file(tmp_path: Path):
    """`docker compose config` reads it, where that is installed; it needs no daemon."""
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("docker compose is not installed")
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    done = subprocess.run(
        [docker, "compose", "config", "--quiet"],
        cwd=tmp_path,
        env=os.environ | {"POSTGRES_PASSWORD": "secret"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_name_leads_somewhere():
    """Commands exist, dependencies are services that can reach the awaited state, and variables are ours."""
    found = services()
    for name, service in found.items():
        command = service.get("command")
        assert command is None or commands.complaint(" ".join(command)) is None, name
        for other, awaited in service.get("depends_on", {}).items():
            if awaited["condition"] == "service_healthy":
                assert "healthcheck" in found[other]
            else:
                assert "restart" not in found[other], "it would start again and again, and never be completed"
        for variable in service["environment"]:
            if variable.startswith("DATABASE_"):
                assert (
                    variable == "DATABASE_URL"
                    or variable.removeprefix("DATABASE_").lower() in DatabaseConfig.model_fields
                )
    assert {volume.partition(":")[0] for volume in found["postgres"]["volumes"]} == set(
        yaml.safe_load(COMPOSE)["volumes"]
    )


def test_the_address_is_that_of_the_server():
    """The URL of the store names the service, the user and the database that the server makes."""
    found = services()
    server = found["postgres"]["environment"]
    url = found["worker"]["environment"]["DATABASE_URL"].replace(server["POSTGRES_PASSWORD"], "secret")
    config = DatabaseConfig.from_url(url)
    assert (config.host, config.user, config.database) == (
        "postgres",
        server["POSTGRES_USER"],
        server["POSTGRES_DB"],
    )
    assert config.host in found


def test_the_image_has_what_the_services_run():
    """The image installs the extras of the commands, and its program is that of the page on FastAPI."""
    image = block_with(PAGE, "dockerfile", "FROM")
    (extras,) = re.findall(r"trading-eventstore\[([^\]]*)\]", image)
    assert set(extras.split(",")) <= commands.extras()
    assert "cli" in extras
    assert "app = FastAPI(lifespan=lifespan)" in block_with(
        "docs/recipes/fastapi.md", "python", "async def lifespan"
    )
    (path,) = re.findall(r"127\.0\.0\.1:8000(/\w+)", str(services()["app"]["healthcheck"]["test"]))
    assert f'@app.get("{path}")' in block_with("docs/recipes/fastapi.md", "python", "async def health")


def test_the_commands_do_what_the_file_expects(database_config: DatabaseConfig):
    """`migrate` is completed with status 0 on a new database, also the second time; the worker ends with 0 at SIGTERM."""
    found = services()
    environment = os.environ | {"DATABASE_URL": url_of(database_config), "DATABASE_MAX_POOL_SIZE": "10"}
    migrate = [EVENTSTORE, *found["migrate"]["command"][1:]]
    for _ in range(2):
        assert (
            subprocess.run(migrate, env=environment, capture_output=True, timeout=60, check=False).returncode
            == 0
        )
    work = [EVENTSTORE, *found["worker"]["command"][1:]]
    with subprocess.Popen(work, env=environment, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline().startswith("working on ")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=30) == 0
