"""How many examples of a property are tried: few by ``make check``, a hundred by ``make test``."""

from hypothesis import settings

settings.register_profile("quick", max_examples=10)
