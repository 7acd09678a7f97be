"""The small networks of the tests of inference."""

from tests.inference.conftest import answering, identity

__all__ = ["answering", "identity"]
