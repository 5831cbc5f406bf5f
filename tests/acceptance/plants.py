"""Misconfigurations that are planted into an installation that works."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from fraudd.commands.check.findings import Level
from tests.acceptance.installation import Installation

Act = Callable[[Installation], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """One thing that is made wrong, and the one finding about it."""

    name: str
    act: Act
    level: Level
    #: The beginning of the finding, and a part of its fix (of itself, if it has no fix). NAME and
    #: FOLDER stand for those of the installation, 0 for every number.
    says: str
    remedy: str
    #: A part of the finding after its beginning, which differs from one server to another.
    has: str = ""
    #: Parts that it keeps from being looked at, besides that which the line is about.
    hides: tuple[str, ...] = ()
    #: Whether the model must first be read by a process that may die; it takes a second.
    proves: bool = False
    #: What undoes it on the database server; all else is of one test alone.
    undo: tuple[str, ...] = ()
    #: Other things that it changes; no two plants of a group change the same.
    touches: tuple[str, ...] = ()

    @property
    def part(self) -> str:
        """What the line is about."""
        return self.says.partition(":")[0]

    def goes_with(self, other: "Plant") -> bool:
        """Whether both can be found at once: neither hides the other, nor changes the same."""
        mine, others = {self.part, *self.touches}, {other.part, *other.touches}
        return not (mine & others or self.part in other.hides or other.part in self.hides)


def grouped(plants: Iterable[Plant]) -> Sequence[Sequence[Plant]]:
    """Put plants that can be found at once into few groups."""
    groups: list[list[Plant]] = []
    for plant in plants:
        fitting = (group for group in groups if all(plant.goes_with(each) for each in group))
        if (group := next(fitting, None)) is None:
            groups.append([plant])
        else:
            group.append(plant)
    return groups


def configured(key: str, value: str) -> Act:
    """Give a key of the configuration file another value."""

    async def act(one: Installation) -> None:
        one.change(key, f"{key} = {value}")

    return act


def added(section: str, line: str) -> Act:
    """Add a line to a section of the configuration file."""

    async def act(one: Installation) -> None:
        one.add(section, line)

    return act


def sql(*statements: str) -> Act:
    """Run statements as the database's administrator."""

    async def act(one: Installation) -> None:
        one.sql(*(statement.replace("DEMO", one.database.name) for statement in statements))

    return act
