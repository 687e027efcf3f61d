"""Build the documentation site: `python -m tools.site`.

The pages are copied to build/pages as they lie in the project, so that a link between two of them leads to the same page
in the repository and on the site. Zensical makes the site of them, as zensical.toml says.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tools.lint.findings import ROOT

CONFIG = "zensical.toml"
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "docs", "benchmarks/*.md")
# How mkdocstrings reports a docstring that it cannot read, and an object that it cannot find. Strict mode lets both pass.
PROBLEMS = ("griffe:", "mkdocstrings:", "ERROR", "Traceback")


def copy_pages(root: Path = ROOT) -> None:
    """Copy the pages of a project to the folder that the site is made of."""
    to = root / "build" / "pages"
    shutil.rmtree(to, ignore_errors=True)
    for pattern in PAGES:
        for path in root.glob(pattern):
            copy = to / path.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, copy)
            else:
                shutil.copy(path, copy)


def build(root: Path = ROOT) -> int:
    """Build the site of a project, print what the tools report, and return the exit status: 0 if nothing is wrong."""
    copy_pages(root)
    zensical = Path(sys.executable).with_name("zensical")
    done = subprocess.run(
        [zensical, "build", "--strict", "--clean", "--config-file", CONFIG],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    # In strict mode it ends with a traceback, which says nothing that the warnings above it do not say.
    report = done.stdout.partition("Traceback (most recent call last)")[0] if done.returncode else done.stdout
    sys.stdout.write(report)
    if done.returncode or any(problem in done.stdout for problem in PROBLEMS):
        sys.stdout.write("The site was not built: correct what is reported above.\n")
        return 1
    sys.stdout.write(
        "The site is in build/site: run `python -m http.server --directory build/site` and open http://localhost:8000.\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(build())
