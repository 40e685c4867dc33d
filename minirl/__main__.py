"""``python -m minirl`` is the same as ``minirl``."""

from minirl.cli.main import main

if __name__ == "__main__":
    main()
