"""``python -m setproto`` is the ``setproto`` command."""

from setproto.cli import main

if __name__ == "__main__":
    main()
