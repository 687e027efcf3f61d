"""A module of the user's with the name of one of the library's packages is found at the import, by its file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from eventstore.installation import hidden, hidden_by_us, require_package
from tools.lint import findings as files

OWN = "class Mine:\n    pass\n"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, which comes first on its path."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PYTHONPATH": f"{folder}:{files.ROOT}", "PATH": "", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def place(folder: Path, name: str, kind: str) -> Path:
    """Make a module or a package of this name, and return its file."""
    file = folder / f"{name}.py" if kind == "module" else folder / name / "__init__.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(OWN)
    return file


@pytest.mark.parametrize("kind", ["module", "package"])
@pytest.mark.parametrize(
    "statement", ["import eventstore", "from eventstore import EventStore", "import eventstore.errors"]
)
def test_what_hides_the_projections_is_found(tmp_path: Path, kind: str, statement: str):
    """The last line of the traceback says which file hides what."""
    file = place(tmp_path, "projections", kind)
    done = run(tmp_path, "-c", statement)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"ImportError: {file} hides the package 'projections' of trading-eventstore ({files.ROOT / 'projections'})"
    )


def test_a_script_of_the_name_is_found(tmp_path: Path):
    """A script that is called projections.py hides the package from the very library that it imports."""
    file = tmp_path / "projections.py"
    file.write_text("from eventstore import EventStore\n")
    done = run(tmp_path, "projections.py")
    assert f"ImportError: {file} hides the package 'projections'" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("kind", ["module", "package"])
def test_what_hides_the_write_side_is_found(tmp_path: Path, kind: str):
    """The projections say it, since they are what is imported of the library's own."""
    file = place(tmp_path, "eventstore", kind)
    done = run(tmp_path, "-c", "from projections import Projection")
    assert (
        f"ImportError: {file} hides the package 'eventstore' of trading-eventstore"
        in done.stderr.splitlines()[-1]
    )


def test_the_command_line_says_it(tmp_path: Path):
    """As an import does; and of a module that the library hides in turn, by the command that names it."""
    file = place(tmp_path, "projections", "module")
    done = run(tmp_path, "-m", "eventstore.cli", "status")
    assert f"ImportError: {file} hides the package 'projections'" in done.stderr.splitlines()[-1]
    script = f"import sys; sys.path = [p for p in sys.path if p not in ('', {str(tmp_path)!r})]; from eventstore.cli import main; main()"
    for command in (
        ["table", "projections:Mine"],
        ["schema", "check", "--module", "projections"],
    ):
        done = run(tmp_path, "-c", script, *command)
        assert done.returncode not in (0, None)
        told = " ".join((done.stderr + done.stdout).split())
        assert "has the name of a package of trading-eventstore, which hides it" in told


def test_pytest_says_it(tmp_path: Path):
    """Its header at once; a test that imports the store fails with it; tests of other things go on."""
    file = place(tmp_path, "projections", "module")
    (tmp_path / "test_mine.py").write_text(
        "def test_store():\n    from eventstore import EventStore\n\n\ndef test_other():\n    import projections\n    projections.Mine()\n"
    )
    done = run(tmp_path, "-m", "pytest", "-p", "no:cacheprovider")
    line = f"{file} hides the package 'projections' of trading-eventstore"
    assert f"eventstore: {line}" in done.stdout
    assert f"ImportError: {line}" in done.stdout
    assert "1 failed, 1 passed" in done.stdout


def test_what_hides_nothing_is_left_alone(tmp_path: Path):
    """A folder without `__init__.py`, a module of a package, and the library itself."""
    (tmp_path / "projections").mkdir()
    (tmp_path / "shop").mkdir()
    place(tmp_path / "shop", "projections", "module")
    (tmp_path / "shop" / "__init__.py").write_text("from shop.projections import Mine\n")
    done = run(
        tmp_path,
        "-c",
        "import shop, eventstore, projections; print(projections.Projection.__name__, shop.Mine.__name__)",
    )
    assert (done.stdout, done.stderr) == ("Projection Mine\n", "")
    assert (hidden("projections"), hidden("eventstore")) == (None, None)
    require_package("projections")
    assert hidden_by_us("projections.builtin", files.ROOT) is None
    assert hidden_by_us("shop.projections", tmp_path / "shop") is None
