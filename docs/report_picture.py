"""Makes ``docs/images/report.png``: the top and the first failure of the report on a faulty model.

A copy of the installed transformers gets the fault of the README (the exact ``gelu`` of the decoder exchanged for its
tanh form), ``bart-odd`` is audited with it, and Chromium takes the picture. From the repository's root, in the main
stack: ``python -m docs.report_picture``; with ``--run DIRECTORY`` of a run that is there already.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from parity.core.resources import fixture
from tests.end_to_end.shadow import shadow_transformers
from tests.end_to_end.test_faults import FAULTS, MODULE
from tests.report.html.browser import browser

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "report.png"
RUN = ROOT / "runs" / "faulty"
FAULT = "tanh gelu"
WIDTH, MARGIN = 1200, 14
MOST_BYTES = 200_000


def audit_faulty_model(directory: Path) -> Path:
    """Audits ``bart-odd`` with the fault in transformers' PyTorch classes.

    Returns:
        The run's directory.

    Raises:
        RuntimeError: the audit did not find the fault.
    """
    faulty = shadow_transformers(directory / "faulty", MODULE, FAULTS[FAULT][0])
    relative = fixture("bart-odd").relative_to(ROOT)
    command = [sys.executable, "-m", "parity", "audit", str(relative), "--backend", "hf-torch", "--backend", "hf-flax"]
    environment = {**os.environ, "PYTHONPATH": str(faulty)}
    ended = subprocess.run([*command, "--out", str(RUN.relative_to(ROOT))], cwd=ROOT, env=environment, check=False)
    if ended.returncode != 1:
        raise RuntimeError(f"the audit ended with {ended.returncode}, where a failure is expected")
    return RUN


def take(page: Path, picture: Path) -> None:
    """Writes the part of a report from its top to the end of the first failure, as PNG.

    Raises:
        ValueError: the picture has more than ``MOST_BYTES``.
    """
    with browser() as tab:
        tab.call("Emulation.setScrollbarsHidden", hidden=True)
        tab.become(WIDTH)
        tab.open(page.resolve().as_uri())
        height = tab.ask("document.querySelector('#failures .block').getBoundingClientRect().bottom + scrollY")
        tab.become(WIDTH, int(height) + MARGIN)
        tab.ask("scrollTo(0, 0)")
        tab.picture(picture)
    if picture.stat().st_size > MOST_BYTES:
        raise ValueError(f"{picture} has {picture.stat().st_size:,} bytes, of at most {MOST_BYTES:,}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--run", type=Path, help="a run's directory, instead of a new audit")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        take((given.run or audit_faulty_model(Path(directory))) / "report.html", PICTURE)


if __name__ == "__main__":
    main()
