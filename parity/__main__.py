"""``python -m parity`` and the command ``parity``."""

import sys

if sys.version_info < (3, 11):
    sys.exit("parity: needs Python 3.11 or newer; this is " + sys.version.split()[0])


def main() -> None:
    from parity.cli import run

    sys.exit(run())


if __name__ == "__main__":
    main()
