"""The harness of the documentation fails on what is broken: shown on documents made for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools import snippets
from tools.lint import commands, links


def run(tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a document in a process of its own, as the tests of the real ones do."""
    path = tmp_path / "page.md"
    path.write_text(text)
    return subprocess.run(
        [sys.executable, "-P", "-W", "error", snippets.__file__, str(path)],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


GOOD = """\
# A page

```python
import asyncio
from dataclasses import dataclass
from decimal import Decimal

from pydantic import BaseModel

class Model(BaseModel):
    value: "Decimal"

@dataclass
class Row:
    value: "Decimal"

x = int(Model(value=1).value)
```

Text between.

```python
await asyncio.sleep(0)
x += 1
print("x is", x)
print("and more")
```

<!-- output -->
```text
x is 2
and ...
```

<!-- not executed: needs a broker -->
```python
raise RuntimeError
```

<!-- raises: LookupError -->
```python
{}["a"]
```

- in a list

  ```python
  asyncio.run(asyncio.sleep(0))
  ```

<!-- run -->
```bash
echo $((1 + 1))
```

<!-- output -->
```text
2
```
"""


def test_a_good_document_runs(tmp_path: Path):
    """State goes from block to block; await, output, raises, run and not executed do what they say."""
    done = run(tmp_path, GOOD)
    assert (done.returncode, done.stdout, done.stderr) == (0, "5 blocks ran\n", "")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("x += 1", "x += unknown", "NameError"),
        ("x += 1", "x +=", "SyntaxError"),
        ("x += 1", "await asyncio.sleep(0, nothing=1)", "TypeError"),
        ("x += 1", "raise SystemExit", "SystemExit"),
        ("x += 1", "x += 2", "the output differs"),
        ("x += 1", "import warnings; warnings.warn('old')", "UserWarning"),
        ('{}["a"]', "{}", "should have raised LookupError"),
        ('{}["a"]', "int('a')", "ValueError"),
        ("echo $((1 + 1))", "false | cat", "exit status 1"),
        ("echo $((1 + 1))", "echo 3", "the output differs"),
        ("<!-- not executed: needs a broker -->\n", "", "RuntimeError"),
        ("needs a broker -->", "needs a broker -->\n\nNot right above.", "RuntimeError"),
        ("echo $((1 + 1))\n```\n", "echo 2\n", "not closed"),
    ],
)
def test_a_broken_document_fails(tmp_path: Path, old: str, new: str, complaint: str):
    """Each way to be broken ends with a status other than 0 and says what is wrong."""
    assert old in GOOD
    done = run(tmp_path, GOOD.replace(old, new, 1))
    assert complaint in done.stdout + done.stderr
    assert done.returncode == 1


def test_a_failure_shows_the_documents_own_line(tmp_path: Path):
    """The traceback names the line of the document and shows it."""
    done = run(tmp_path, GOOD.replace("x += 1", "x += unknown"))
    assert 'page.md", line 24' in done.stderr
    assert "x += unknown" in done.stderr


def test_output_of_nothing_fails(tmp_path: Path):
    """A marker of output before any block is a mistake, not a pass."""
    done = run(tmp_path, "<!-- output -->\n```text\n1\n```\n")
    assert done.returncode == 1
    assert "no block ran before this output" in done.stderr


def test_blocks_know_their_lines_languages_and_markers():
    """Each block has its language, its first line and the markers right above it, and nothing of the one before."""
    found = snippets.blocks(GOOD)
    assert [(block.language, block.line, sorted(block.markers)) for block in found][:4] == [
        ("python", 4, []),
        ("python", 23, []),
        ("text", 31, ["output"]),
        ("python", 37, ["not executed"]),
    ]
    assert found[3].markers["not executed"] == "needs a broker"


@pytest.mark.parametrize(
    "line",
    [
        "make test",
        "make setup PYTHON=python3.13",
        "cd trading-eventstore && make demo",
        "pip install 'trading-eventstore[embedded,cli]'",
        "DATABASE_URL=postgresql:///x psql",
        "psql 'postgresql:///x?a=1&b=2' -c 'SELECT 1; SELECT 2' | head",
    ],
)
def test_known_commands(line: str):
    """What exists is not complained of."""
    assert commands.complaint(line) is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("make nothing", "no make target nothing"),
        ("cd x && make tests", "no make target tests"),
        ("pip install trading-eventstore[everything]", "no extra everything"),
        ("frobnicate --all", "unknown command frobnicate"),
    ],
)
def test_unknown_commands(line: str, said: str):
    """What does not exist is named."""
    assert commands.complaint(line) == said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("eventstore demo --prints 1000 --keep .demo", None),
        ("DATABASE_URL=postgresql:///x eventstore demo --keep=.demo | head", None),
        ("eventstore quarantine retry orders --all", None),
        ("eventstore --help", None),
        ("eventstore dmeo", "no command eventstore dmeo"),
        ("eventstore demo --print 1000", "eventstore demo has no option --print"),
        ("eventstore quarantine retry --none", "eventstore quarantine retry has no option --none"),
    ],
)
def test_eventstore_commands(line: str, said: str | None, monkeypatch: pytest.MonkeyPatch):
    """A subcommand must have a help of its own, and each option must be in it."""
    helps = {
        (): "demo quarantine --help",
        ("demo",): "--prints INTEGER  --keep DIR",
        ("quarantine",): "retry",
        ("quarantine", "retry"): "PROJECTION --all",
    }
    monkeypatch.setattr(commands, "eventstore_help", lambda *words: helps.get(words))
    assert commands.complaint(line) == said


def test_command_lines():
    """Continued lines are one command; comments are none."""
    assert commands.command_lines("# first\nmake \\\n  test\n\n$ make demo\n") == ["make test", "make demo"]


def test_links(tmp_path: Path):
    """A missing file, a missing heading and a way out of the project are broken; code and other hosts are not."""
    (tmp_path / "other.md").write_text("# Two words, `code`!\n```bash\n# no heading\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md) [b](other.md#two-words-code) [c](missing.md) [d](other.md#no-heading) [e](https://example.org)\n"
        "[f](../..) [g](#nowhere) `[h](h.md)`\n```text\n[i](i.md)\n```\n[j]: missing-too.md\n![k](k.png)\n"
    )
    assert links.broken(page, tmp_path) == [
        "missing.md",
        "other.md#no-heading",
        "../..",
        "#nowhere",
        "missing-too.md",
        "k.png",
    ]


DATABASE = """\
```python
import asyncio
from decimal import Decimal

from eventstore.domain import Order, OrderSide
from eventstore.store import EventStore

async with EventStore.open() as store:
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(Order.create_market_order("ES", Decimal(2), OrderSide.BUY))
    async with store.unit_of_work() as uow:
        print([order.symbol for order in await uow.orders.get_active_orders()])
```

<!-- output -->
```text
['ES']
```

```python
async def main() -> None:
    async with EventStore.open() as store, store.unit_of_work() as uow:
        print(len(await uow.orders.get_orders_by_symbol("ES")))

asyncio.run(main())
```

<!-- output -->
```text
1
```
"""


def test_a_document_has_a_migrated_database(
    tmp_path: Path, migrated_url: str, monkeypatch: pytest.MonkeyPatch
):
    """The snippets write to the database that `DATABASE_URL` names, in the document's loop and in their own."""
    monkeypatch.setenv("DATABASE_URL", migrated_url)
    done = run(tmp_path, DATABASE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 blocks ran\n", "")
