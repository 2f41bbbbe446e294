"""`python -m diptych`, and what the command `diptych` starts."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; Ctrl-C while it is still being loaded ends it quietly too."""
    try:
        from diptych.cli.app import run

        run()
    except KeyboardInterrupt:
        print("diptych: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
