"""What `bench/http.py` prints: a table, a plot, and whether the targets are met."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

#: So many callers and more are load, where the targets of rate and p99 hold.
LOAD = 128
LEAST_RATE_OVER_PLAIN = 4.0
LEAST_RATE_OVER_MEMORY = 0.5
MAX_P99_OVER_PLAIN = 1.0
MAX_LONE_OVER_PLAIN = 1.1

_NAMES = {
    "fraudd": "fraudd",
    "plain": "plain handler",
    "tuned": "plain handler, client tuned",
    "memory": "fraudd from memory",
    "bare": "bare route",
}
_COLOURS = {
    "fraudd": "#0b6e4f",
    "plain": "#c1121f",
    "tuned": "#f4a259",
    "memory": "#2b59c3",
    "bare": "#888888",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One server under so many callers for a while."""

    number: int
    delay_ms: int
    server: str
    callers: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


Figure = Callable[[Turn], float]


def table(turns: Sequence[Turn]) -> str:
    """Write the medians as a Markdown table."""
    lines = [
        "| DynamoDB away | callers | | look-ups/s | p50 ms | p99 ms | CPU µs a look-up |",
        "|--:|--:|---|--:|--:|--:|--:|",
    ]
    for delay, callers in _settings(turns):
        for server, name in _NAMES.items():
            rate, p50, p99, cpu = (
                _typical(turns, figure, delay, callers, server)
                for figure in (_rate, _p50, _p99, _cpu)
            )
            lines.append(
                f"| {delay} ms | {callers} | {name} |"
                f" {rate:,.0f} | {p50:.2f} | {p99:.2f} | {cpu:.0f} |"
            )
    return "\n".join(lines)


def judge(turns: Sequence[Turn]) -> int:
    """Print each target and what was measured; give the exit status.

    Ratios are of the same turn, seconds apart, and the median of all turns counts.
    """
    all_met = True
    for delay, callers in _settings(turns):
        print(f"\n{callers} callers, DynamoDB {delay} ms away")
        loaded = callers >= LOAD
        for what, figure, other, least, most in (
            ("lone latency over plain", _p50, "plain", None, MAX_LONE_OVER_PLAIN),
            ("p99 over plain", _p99, "plain", None, MAX_P99_OVER_PLAIN),
            ("rate over plain", _rate, "plain", LEAST_RATE_OVER_PLAIN, None),
            ("rate over plain, tuned", _rate, "tuned", None, None),
            ("rate over memory", _rate, "memory", LEAST_RATE_OVER_MEMORY, None),
        ):
            if (callers == 1) != what.startswith("lone"):
                continue
            ratio = _ratio(turns, figure, delay, callers, other)
            target = ""
            if least is not None and loaded:
                target = f">= {least}" + ("" if ratio >= least else "   MISSED")
            elif most is not None and (loaded or callers == 1):
                target = f"<= {most}" + ("" if ratio <= most else "   MISSED")
            all_met &= "MISSED" not in target
            print(f"  {what:24} {ratio:6.2f}   {target}")
    return 0 if all_met else 1


def plot(turns: Sequence[Turn]) -> str:
    """Draw look-ups a second over callers as SVG, a panel for each distance of DynamoDB."""
    delays = sorted({turn.delay_ms for turn in turns})
    callers = sorted({turn.callers for turn in turns})
    highest = max(turn.per_second for turn in turns if turn.server != "bare")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{380 * len(delays) + 200}" height="300"'
        ' font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for panel, delay in enumerate(delays):
        left = 60 + 380 * panel
        parts.append(f'<text x="{left}" y="20">look-ups/s, DynamoDB {delay} ms away</text>')
        parts += _axes(left, callers, highest)
        for server in _NAMES:
            if server == "bare":
                continue
            points = " ".join(
                f"{left + 300 * place / max(1, len(callers) - 1):.0f},"
                f"{260 - 220 * _typical(turns, _rate, delay, number, server) / highest:.0f}"
                for place, number in enumerate(callers)
            )
            parts.append(
                f'<polyline points="{points}" fill="none" stroke-width="2"'
                f' stroke="{_COLOURS[server]}"/>'
            )
    for place, (server, name) in enumerate(list(_NAMES.items())[:4]):
        x, y = 380 * len(delays) + 10, 60 + 20 * place
        parts.append(f'<text x="{x}" y="{y}" fill="{_COLOURS[server]}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _axes(left: int, callers: Sequence[int], highest: float) -> list[str]:
    parts = [
        f'<path d="M{left} 40 V260 H{left + 310}" fill="none" stroke="#444444"/>',
        f'<text x="{left + 100}" y="295">concurrent callers</text>',
    ]
    for place, number in enumerate(callers):
        x = left + 300 * place / max(1, len(callers) - 1)
        parts.append(f'<text x="{x:.0f}" y="277" text-anchor="middle">{number}</text>')
    for quarter in range(5):
        y = 260 - 55 * quarter
        value = highest * quarter / 4
        parts.append(f'<text x="{left - 5}" y="{y + 4}" text-anchor="end">{value:,.0f}</text>')
    return parts


def _rate(turn: Turn) -> float:
    return turn.per_second


def _p50(turn: Turn) -> float:
    return turn.p50_ms


def _p99(turn: Turn) -> float:
    return turn.p99_ms


def _cpu(turn: Turn) -> float:
    return turn.cpu_us


def _settings(turns: Sequence[Turn]) -> list[tuple[int, int]]:
    return sorted({(turn.delay_ms, turn.callers) for turn in turns})


def _of(
    turns: Sequence[Turn], figure: Figure, delay: int, callers: int, server: str
) -> dict[int, float]:
    return {
        turn.number: figure(turn)
        for turn in turns
        if (turn.delay_ms, turn.callers, turn.server) == (delay, callers, server)
    }


def _typical(turns: Sequence[Turn], figure: Figure, delay: int, callers: int, server: str) -> float:
    return median(_of(turns, figure, delay, callers, server).values())


def _ratio(turns: Sequence[Turn], figure: Figure, delay: int, callers: int, other: str) -> float:
    ours = _of(turns, figure, delay, callers, "fraudd")
    theirs = _of(turns, figure, delay, callers, other)
    return median(ours[number] / theirs[number] for number in ours)
