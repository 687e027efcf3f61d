"""Reading a tape: what it gives, and each way in which a file is refused."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from eventstore.errors import ConfigurationError
from eventstore.examples.ticks import INSTALL_TAPE, Tick, packaged_tape, read_ticks

HEADER = "DateTime,Price,Volume\n"
GOOD = "2013-09-01 17:00:00.083,1640.25,8"


@pytest.fixture
def tape(tmp_path: Path):
    """Write a file from its lines after the header, and return its path."""

    def write(*lines: str, header: str = HEADER) -> Path:
        path = tmp_path / "tape.csv"
        path.write_text(header + "".join(f"{line}\n" for line in lines))
        return path

    return write


def test_a_print(tape):
    """A row is a print with its number; the exchange's local time becomes UTC, in summer and in winter."""
    ticks = read_ticks(tape(GOOD, "2013-12-02 08:30:00,-1.50,1"))
    assert ticks == [
        Tick(1, datetime(2013, 9, 1, 22, 0, 0, 83000, tzinfo=UTC), Decimal("1640.25"), 8),
        Tick(2, datetime(2013, 12, 2, 14, 30, tzinfo=UTC), Decimal("-1.50"), 1),
    ]
    assert str(ticks[1].price) == "-1.50"


def test_another_zone(tape):
    """The zone of the times can be named; one that does not exist is refused."""
    assert read_ticks(tape(GOOD), zone="Europe/Berlin")[0].at == datetime(
        2013, 9, 1, 15, 0, 0, 83000, tzinfo=UTC
    )
    with pytest.raises(ConfigurationError, match="Mars/Olympus is not known"):
        read_ticks(tape(GOOD), zone="Mars/Olympus")


def test_equal_rows_are_different_prints(tape):
    """Two rows with the same text are two prints, told apart by their numbers."""
    assert [tick.row for tick in read_ticks(tape(GOOD, GOOD, GOOD))] == [1, 2, 3]


def test_the_limit(tape):
    """No more is read than asked for, so what stands below it may be anything."""
    assert len(read_ticks(tape(GOOD, GOOD, "nonsense"), limit=2)) == 2


def test_a_byte_order_mark(tape):
    """What spreadsheets put at the top of a csv is passed over."""
    assert len(read_ticks(tape(GOOD, header="\ufeff" + HEADER))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "",
        "2013-09-01 17:00:00.083,1640.25",
        GOOD + ",1",
        "yesterday,1640.25,8",
        "2013-09-01 25:00:00.083,1640.25,8",
        "2013-09-01 17:00:00.083+02:00,1640.25,8",
        "2013-09-01 17:00:00.083,x,8",
        "2013-09-01 17:00:00.083,NaN,8",
        "2013-09-01 17:00:00.083,1e9,8",
        "2013-09-01 17:00:00.083,1_640,8",
        "2013-09-01 17:00:00.083,١٦٤٠,8",
        "2013-09-01 17:00:00.083,,8",
        "2013-09-01 17:00:00.083,1640.25,0",
        "2013-09-01 17:00:00.083,1640.25,-1",
        "2013-09-01 17:00:00.083,1640.25,1.5",
        "2013-09-01 17:00:00.083,1640.25,",
        "0001-01-01 00:00:00,1640.25," + "9" * 5000,
        "9999-12-31 23:59:59,1640.25,1",
    ],
)
def test_a_malformed_row(tape, line: str):
    """The message names the file, the row and the form that it should have."""
    with pytest.raises(ConfigurationError, match=r"tape\.csv, row 3 \(line 4\): .* 2013-09-01") as caught:
        read_ticks(tape(GOOD, GOOD, line, GOOD))
    assert len(str(caught.value)) < 400


def test_out_of_order(tape):
    """A tape goes forward in time; the row that does not is named."""
    with pytest.raises(ConfigurationError, match=r"row 2: 2013-09-01 16:59:59 is before the row above"):
        read_ticks(tape(GOOD, "2013-09-01 16:59:59,1640.25,1"))


@pytest.mark.parametrize("header", ["", "time,price,size\n", "DateTime,Price\n", "DateTime,Price,Volume,X\n"])
def test_other_columns(tape, header: str):
    """A file with other columns is refused by its header."""
    with pytest.raises(ConfigurationError, match=r"has the columns .*: a tape has DateTime,Price,Volume"):
        read_ticks(tape(GOOD, header=header) if header else tape(header=""))


def test_no_rows(tape):
    """A header alone is no tape."""
    with pytest.raises(ConfigurationError, match="has no rows"):
        read_ticks(tape())


def test_files_that_cannot_be_read(tmp_path: Path):
    """A missing file, a folder and bytes that are not text are each refused with the reason."""
    with pytest.raises(ConfigurationError, match="No such file"):
        read_ticks(tmp_path / "none.csv")
    with pytest.raises(ConfigurationError, match="Is a directory"):
        read_ticks(tmp_path)
    (tmp_path / "binary.csv").write_bytes(HEADER.encode() + b"\xff\xfe\x00,1,1\n")
    with pytest.raises(ConfigurationError, match="not a CSV file in UTF-8"):
        read_ticks(tmp_path / "binary.csv")


def test_the_packaged_tape():
    """It has the 500,000 prints of its description, of which 150,874 equal the one before."""
    ticks = read_ticks(packaged_tape())
    assert len(ticks) == 500_000
    assert ticks[0].at == datetime(2013, 9, 1, 22, 0, 0, 83000, tzinfo=UTC)
    assert sum(one[1:] == other[1:] for one, other in pairwise(ticks)) == 150_874


def test_the_package_is_not_imported():
    """Its dependencies are not wanted: the file is found without its code."""
    program = "import sys; from eventstore.examples.ticks import *; packaged_tape(); print('mlfinpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The one command that installs it is named; an installation without the file counts as none."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(ConfigurationError, match=INSTALL_TAPE):
        packaged_tape()
    (tmp_path / "mlfinpy-0.1.2.dist-info").mkdir()
    (tmp_path / "mlfinpy-0.1.2.dist-info" / "METADATA").write_text("Name: mlfinpy\nVersion: 0.1.2\n")
    with pytest.raises(ConfigurationError, match=INSTALL_TAPE):
        packaged_tape()
