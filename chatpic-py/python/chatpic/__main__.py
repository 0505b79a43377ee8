"""The program `chatpic`: the site, and the operator's commands."""

import signal
import sys

from ._chatpic import run


def main() -> int:
    """Runs the command line of this process and answers its exit status."""
    # The program ends by itself on both signals; Python's own handler would add a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return run(["chatpic", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
