"""``python -m alcli`` and the console script."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from alcli.cli import run
    from alcli.system.interruption import end_soon_after_signals
    from alcli.system.threads import sleep_while_waiting

    end_soon_after_signals()
    sleep_while_waiting()
    sys.exit(run())


if __name__ == "__main__":
    main()
