"""``python -m chatstep``: the command line."""

from chatstep.cli import main

if __name__ == "__main__":
    main()
