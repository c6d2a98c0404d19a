"""``python -m tests.saved_checkpoints make|audit|table``: see ``tests.saved_checkpoints``."""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.saved_checkpoints.auditing import audit_all, table
from tests.saved_checkpoints.making import make_all


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.saved_checkpoints", description=__doc__)
    parser.add_argument("command", choices=["make", "audit", "table"])
    parser.add_argument("--folder", type=Path, required=True, help="where the checkpoints are")
    parser.add_argument("--out", type=Path, help="audit: a JSON file, gone on with where it is there")
    parser.add_argument("--only", default="*", help="names that match this pattern")
    parser.add_argument("--stack", action="append", default=[], help="as parity audit takes them; main is asked too")
    parser.add_argument("--backend", action="append", help="as parity audit takes them")
    parser.add_argument("--check", action="append", help="ids or families; only what they read is asked")
    parser.add_argument("--case", action="append", help="of that, only cases whose names match this pattern")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--chunk", type=int, default=8, help="checkpoints of one audit")
    given = parser.parse_args()
    if given.command == "make":
        make_all(given.folder, given.only)
    elif given.command == "audit":
        asked = (given.check, given.case or ["*"])
        audit_all(given.folder, given.out, given.only, given.stack, given.backend, given.cache, given.chunk, *asked)
        print(table(given.out))
    else:
        print(table(given.out))


if __name__ == "__main__":
    main()
