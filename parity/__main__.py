"""``python -m parity`` and the command ``parity``."""

import sys

if sys.version_info < (3, 11):
    sys.exit("parity: needs Python 3.11 or newer; this is " + sys.version.split()[0])
if sys.platform == "win32":
    # Exit code 2, as for everything that keeps the command from running at all.
    print("parity: needs a POSIX system; on Windows run it in WSL 2", file=sys.stderr)
    sys.exit(2)


def main() -> None:
    from parity.core.own_reference import ReferenceHidden, check_reference, explained

    try:
        check_reference()
        from parity.cli.main import run
    except (ImportError, AttributeError) as error:
        # A package that another has overwritten shows by whatever of it is missing.
        told = error if isinstance(error, ReferenceHidden) else explained(error)
        if told is None:
            if not isinstance(error, ModuleNotFoundError) or (error.name or "").partition(".")[0] == "parity":
                raise
            told = f"{error.name} is not installed: python -m pip install -e . in the clone"
        print(f"parity: {told}", file=sys.stderr)
        sys.exit(2)
    sys.exit(run())


if __name__ == "__main__":
    main()
