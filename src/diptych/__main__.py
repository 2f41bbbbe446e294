"""`python -m diptych` is the command `diptych`."""

from diptych.cli.app import main

if __name__ == "__main__":
    main()
