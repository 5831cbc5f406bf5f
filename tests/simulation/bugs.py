"""How a deliberate bug is put into the shipped code, and taken out again."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from fraudd.prediction.record import Transition

#: A bug: entered it is there, left it is gone.
Bug = Callable[[ExitStack], None]

BUGS: dict[str, Bug] = {}


def bug(made: Bug) -> Bug:
    """Register a bug under the name of its function."""
    BUGS[made.__name__.replace("_", " ")] = made
    return made


def put(stack: ExitStack, owner: Any, name: str, value: Any) -> None:
    """Replace an attribute until the stack is left."""
    stack.enter_context(patch.object(owner, name, value))


def put_at(stack: ExitStack, target: str, value: Any) -> None:
    """Replace a module's global until the stack is left."""
    stack.enter_context(patch(target, value))


def loosened(make: Callable[..., Transition], *dropped: str) -> Callable[..., Transition]:
    """Make a transition that does not expect some attributes; none named: any."""

    def made(*args: Any, **kwargs: Any) -> Transition:
        transition = make(*args, **kwargs)
        kept = {
            name: value
            for name, value in transition.expects.items()
            if dropped and name not in dropped
        }
        return replace(transition, expects=kept)

    return made
