"""What a release needs to be true of the tree: ``check_release.py TAG REPOSITORY`` exits with 1 and a line for each
thing that is not."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def problems(tag: str, repository: str, root: Path = ROOT) -> list[str]:
    """What stands in the way of publishing ``tag`` from ``repository``, an address without a slash at the end."""
    found = re.search(r'^__version__ = "(.+)"$', (root / "parity/core/version.py").read_text("utf-8"), re.MULTILINE)
    version = found[1] if found else ""
    wrong = []
    if tag != f"v{version}":
        wrong.append(f"the tag is {tag}, but parity/core/version.py has {version!r}")
    if f"## [{version}]" not in (root / "CHANGELOG.md").read_text("utf-8"):
        wrong.append(f"CHANGELOG.md has no section [{version}]")
    urls = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    wrong += [
        f"pyproject.toml, project.urls: {name} is {url}, not in {repository}"
        for name, url in urls.items()
        if f"{url}/".find(f"{repository}/") != 0
    ]
    return wrong


if __name__ == "__main__":
    lines = problems(*sys.argv[1:3])
    print("\n".join(lines), file=sys.stderr)
    sys.exit(1 if lines else 0)
