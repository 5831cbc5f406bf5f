"""How thoroughly properties are tried: ``make check`` tries few examples, ``make test`` a hundred."""

from hypothesis import settings

settings.register_profile("quick", max_examples=10)
