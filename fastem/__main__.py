"""The command `fastem`, also as `python -m fastem`."""

from __future__ import annotations

import sys

from fastem._extras import MissingExtraError, require


def main() -> None:
    """Run the command line, or tell how to install what it needs."""
    try:
        require("typer", "cli", "the command line")
        require("rich", "cli", "the command line")
    except MissingExtraError as error:
        sys.exit(str(error))
    from fastem.cli import app

    app()


if __name__ == "__main__":
    main()
