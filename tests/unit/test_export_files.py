"""Files that an export replaces: whole or as before, with the rights they had, and never by way of a planted link."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from eventstore.errors import ConfigurationError
from eventstore.export.files import replacing

OTHER_USER = 54_321
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to other users")


def write(path: Path, content: bytes = b"new") -> None:
    """Replace a file."""
    with replacing(path) as new, new.open() as file:
        file.write(content)


def mode_of(path: Path) -> int:
    """The rights of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_its_owners_alone(tmp_path: Path):
    """Whatever the process's mask is; also while it is written."""
    before = os.umask(0)
    try:
        with replacing(tmp_path / "log") as new, new.open() as file:
            (part,) = tmp_path.iterdir()
            assert mode_of(part) == 0o600
            file.write(b"new")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "log") == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["log"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o666, 0o400])
def test_a_file_keeps_its_mode(tmp_path: Path, mode: int):
    """The content is new, the mode is not."""
    file = tmp_path / "log"
    file.write_bytes(b"old")
    file.chmod(mode)
    write(file)
    assert (file.read_bytes(), mode_of(file)) == (b"new", mode)


@as_root
def test_a_file_keeps_its_owner(tmp_path: Path):
    """Its user and its group."""
    file = tmp_path / "log"
    file.write_bytes(b"old")
    os.chown(file, OTHER_USER, OTHER_USER + 1)
    write(file)
    assert (file.stat().st_uid, file.stat().st_gid, file.read_bytes()) == (OTHER_USER, OTHER_USER + 1, b"new")


def test_an_owner_that_cannot_be_kept_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The file stays as it was, and nothing is left beside it."""
    file = tmp_path / "log"
    file.write_bytes(b"old")
    mine = os.fstat

    def of_another(descriptor: int) -> os.stat_result:
        fields = list(mine(descriptor))
        fields[stat.ST_UID] += 1
        return os.stat_result(fields)

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "fstat", of_another)
    monkeypatch.setattr(os, "fchown", refuse)
    with pytest.raises(ConfigurationError, match="belongs to the user"):
        write(file)
    assert file.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["log"]


def test_no_planted_name_is_followed(tmp_path: Path):
    """Whoever can write to the folder knows no name that will be opened; what a link there leads to stays as it is."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    folder = tmp_path / "shared"
    folder.mkdir()
    for name in (f"log.{os.getpid()}.part", "log.part", ".log.part", f".log.{os.getpid()}.part"):
        (folder / name).symlink_to(victim)
    write(folder / "log")
    assert victim.read_bytes() == b"precious"
    assert not (folder / "log").is_symlink()
    names = set()
    for _ in range(3):
        with replacing(folder / "log"):
            names |= {one.name for one in folder.iterdir()}
    assert len(names) == 5 + 3


def test_a_link_put_in_the_place_of_the_new_file_is_not_written_through(tmp_path: Path):
    """The file is open already when others can see it; the exchange is found at the end."""
    victim, folder = tmp_path / "victim", tmp_path / "shared"
    victim.write_bytes(b"precious")
    folder.mkdir()

    def exchange() -> None:
        with replacing(folder / "log") as new:
            (part,) = folder.iterdir()
            part.rename(folder / "moved")
            part.symlink_to(victim)
            with new.open() as file:
                file.write(b"events")

    with pytest.raises(ConfigurationError, match="was replaced by another file"):
        exchange()
    assert victim.read_bytes() == b"precious"
    assert not (folder / "log").exists()


def test_a_link_of_ones_own_stays_a_link(tmp_path: Path):
    """What it leads to is replaced, also by way of a second link and where there is no file yet."""
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there/second")
    (tmp_path / "there" / "second").symlink_to("file")
    for content in (b"one", b"two"):
        write(tmp_path / "link", content)
        assert (tmp_path / "there" / "file").read_bytes() == content
        assert (tmp_path / "link").is_symlink()
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(ConfigurationError, match="leads back to itself"):
        write(tmp_path / "round")


@as_root
def test_a_link_of_another_user_is_refused(tmp_path: Path):
    """It may have been planted: the line says where it leads, and nothing is written."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "log").symlink_to(victim)
    os.chown(tmp_path / "log", OTHER_USER, OTHER_USER, follow_symlinks=False)
    with pytest.raises(
        ConfigurationError, match=rf"symbolic link to .*victim that belongs to the user {OTHER_USER}"
    ):
        write(tmp_path / "log")
    assert victim.read_bytes() == b"precious"


def test_a_block_that_fails_leaves_everything_as_it_was(tmp_path: Path):
    """No new file, and the one before with its content."""
    file = tmp_path / "log"
    file.write_bytes(b"old")

    def fail() -> None:
        with replacing(file) as new, new.open() as opened:
            opened.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert file.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["log"]


def test_a_pipe_is_written_to(tmp_path: Path):
    """What is no file cannot be replaced."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write(pipe, b"events")
    reader.join(10)
    assert read == [b"events"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_name_of_any_length(tmp_path: Path):
    """The name of the new file does not grow with it."""
    write(tmp_path / ("é" * 127))
    assert [one.name for one in tmp_path.iterdir()] == ["é" * 127]
