"""The commands of docs/recipes/install.md, with the wheels of this project and no network after they were collected."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from eventstore import __version__
from tests.recipes.pages import block_with
from tools.lint.findings import ROOT

pytestmark = pytest.mark.full

PAGE = "docs/recipes/install.md"


def run(script: str, folder: Path, **variables: str) -> str:
    """Run the commands of a page in a folder, with the scripts of this Python on the PATH."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VIRTUAL_ENV")}
    scripts = str(Path(sys.executable).parent)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=kept | {"PATH": scripts + os.pathsep + kept.get("PATH", "")} | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels that the page's command collects; it needs the index."""
    folder = tmp_path_factory.mktemp("wheels")
    (command,) = block_with(PAGE, "bash", "pip wheel").splitlines()
    clone = folder / "clone"
    shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(".*", "build", "__pycache__", "tests"))
    run(command.replace("pip ", f"{sys.executable} -m pip ", 1), clone)
    return clone / "wheelhouse"


def offline(wheelhouse: Path, folder: Path) -> dict[str, str]:
    """Variables with which pip and uv know the wheels and nothing else."""
    return {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheelhouse),
        "UV_OFFLINE": "1",
        "UV_FIND_LINKS": str(wheelhouse),
        "UV_CACHE_DIR": str(folder / "cache"),
        "UV_PYTHON": sys.executable,
        "UV_PYTHON_DOWNLOADS": "never",
    }


@pytest.mark.parametrize(("marker", "then"), [("pip install", ".venv"), ("uv add", "uv run")])
def test_pip_and_uv_install_the_command(wheelhouse: Path, tmp_path: Path, marker: str, then: str):
    """The page's commands end with the version of the library; uv asks its index for the wheels of other systems."""
    script = block_with(PAGE, "bash", f'{marker} "trading-eventstore[cli,embedded]"\n{then}')
    variables = offline(wheelhouse, tmp_path)
    if marker == "uv add":
        del variables["UV_OFFLINE"]
    assert run(script, tmp_path, **variables).endswith(f"trading-eventstore {__version__}\n")


@pytest.mark.parametrize("program", ["pip", "uv pip"])
def test_the_wheels_are_all_that_is_needed(wheelhouse: Path, tmp_path: Path, program: str):
    """Without an index, the folder of wheels is enough for either program, and the server starts."""
    venv.create(tmp_path / "venv", with_pip=True)
    (command,) = [
        line
        for line in block_with(PAGE, "bash", "--no-index").splitlines()
        if line.startswith(f"{program} install")
    ]
    (tmp_path / "wheelhouse").symlink_to(wheelhouse)
    variables = {"VIRTUAL_ENV": str(tmp_path / "venv"), "UV_CACHE_DIR": str(tmp_path / "cache")}
    run(f"source venv/bin/activate\n{command}", tmp_path, **variables)
    script = "source venv/bin/activate\neventstore migrate --data ./data\n"
    assert "0001" in run(script, tmp_path, **variables)
