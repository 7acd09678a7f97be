"""The command line, called in this process as the tests of the command line call it, and TIFFs of any kind."""

from tests.cli.conftest import scenescope
from tests.data.conftest import tiff

__all__ = ["scenescope", "tiff"]
