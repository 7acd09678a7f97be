"""The command line, called in this process as the tests of the command line call it."""

from tests.cli.conftest import scenescope

__all__ = ["scenescope"]
