"""``python -m scenescope`` is the same as ``scenescope``."""

from scenescope.cli.main import main

if __name__ == "__main__":
    main()
