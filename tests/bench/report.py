"""Results as Markdown: goals, then tables, then what they were measured with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.plan import ALIKE, CLOSED, OPEN, YARDSTICK
from tests.bench.results import REFERENCE_DOCUMENTS, Measured, Results, Spread, Who, ratio

NAIVE, HELLO, OURS = "naive", "hello", "ours"
BUSY = 0.9
"""Where the load generator used more of its core than this, the server could have done more."""
NONE = "-"


@dataclass(frozen=True)
class Goal:
    """`measured` is None where what it compares was not measured."""

    text: str
    least: float
    measured: Callable[[Results], Spread | None]
    by_cpu: Callable[[Results], Spread | None] = lambda _: None


def _times(text: str, least: float, form: str, than: Who) -> Goal:
    return Goal(
        text,
        least,
        lambda results: results.capacity_ratio((OURS, form), than),
        lambda results: results.capacity_ratio((OURS, form), than, per_cpu=True),
    )


def _tail(results: Results) -> Spread | None:
    """How many times MLServer's p99 is ours, at 70 % of its capacity."""
    theirs = results.at((YARDSTICK, "json"), ALIKE, 0.7)
    ours = results.at((OURS, "json"), ALIKE, 0.7)
    return ratio(_p99(theirs), _p99(ours))


def _p99(points: Sequence[Measured]) -> dict[int, float]:
    return {point.round: point.p99 for point in points if point.p99 is not None}


GOALS = (
    _times("JSON: requests/s, times MLServer's", 1.4, "json", (YARDSTICK, "json")),
    _times("JSON: requests/s, times naive FastAPI's", 2.3, "json", (NAIVE, "json")),
    _times("binary: requests/s, times MLServer's by JSON", 2.8, "binary", (YARDSTICK, "json")),
    _times("columns: requests/s, times its JSON's", 1.0, "columns", (OURS, "json")),
    Goal("JSON at 70 % of MLServer's capacity: MLServer's p99, times ours", 2.0, _tail),
)


def markdown(results: Results) -> str:
    return (
        "\n".join([*_head(results), *goals(results), *overview(results), *_details(results), *_made_of(results)]) + "\n"
    )


def _head(results: Results) -> Iterator[str]:
    about = results.about
    yield "# Measured beside other servers"
    yield ""
    yield f"`{about['command']}`, {about['date']}, commit {about['commit']}."
    yield f"Machine: {_pairs(about['machine'])}. Model: {_pairs(about['model'])}."
    yield f"Plan: {about['plan']}, {about['rounds']} rounds; servers on core {about['cores'][0]}, the load generator"
    yield f"on core {about['cores'][1]}. Medians over rounds, (least - most) beside them; ratios are of the same round."
    if not results.complete:
        yield "**Interrupted: what follows is a part.**"
    for name, reason in results.left_out.items():
        yield f"**{name} is left out** ({reason})."


def goals(results: Results) -> Iterator[str]:
    found = [(goal, goal.measured(results)) for goal in GOALS]
    rows = [
        [goal.text, f">= {goal.least}", _exact(spread), _exact(goal.by_cpu(results)), _reached(goal, spread)]
        for goal, spread in found
        if spread is not None
    ]
    if rows:
        yield from _titled("Goals (100 documents)", ["", "goal", "measured", "by CPU time", "reached"], rows)


def _reached(goal: Goal, spread: Spread) -> str:
    return "yes" if spread.median >= goal.least else "**no**"


def overview(results: Results) -> Iterator[str]:
    heads = ["server", "format", "requests/s", "by CPU second", "x MLServer", "x naive", "of hello", "p50 ms, 1 conn."]
    heads += ["p99 ms, 16 conn.", "first answer s", "MiB PSS", "MiB RSS", "scores"]
    rows = [_overview(results, who) for who in results.asked()]
    yield from _titled("100 documents: the most requests/s of any number of connections", heads, rows)
    yield "x MLServer and x naive compare with their JSON, of hello with hello in the same format. By CPU second: of"
    yield "the server, which a busy machine disturbs less. First answer: from its process's start to a right one."
    for text, points in _doubts(results).items():
        if points:
            yield f"{text}: {', '.join(sorted({' '.join(point.who) for point in points}))}."


def _doubts(results: Results) -> dict[str, list[Measured]]:
    full = [point for point in results.points if point.loop == CLOSED and point.load > 1]
    return {
        "The load generator was the limit at some points of": [p for p in full if p.generator > BUSY],
        f"Less than {BUSY:.0%} of its core, because other work took its share, at some points had": [
            p for p in full if p.server < BUSY and p.generator <= BUSY
        ],
    }


def _overview(results: Results, who: Who) -> list[str]:
    peer, form = who
    one, sixteen = (results.at(who, CLOSED, connections) for connections in (1, 16))
    than_hello = results.capacity_ratio(who, (HELLO, "binary" if form == "binary" else "json"))
    return [
        *who,
        _shown(Spread.of(results.capacities(who).values())),
        _median(Spread.of(results.capacities(who, per_cpu=True).values())),
        _median(results.capacity_ratio(who, (YARDSTICK, "json")), "x"),
        _median(results.capacity_ratio(who, (NAIVE, "json")), "x"),
        f"{than_hello.median:.1%}" if than_hello else NONE,
        _shown(_over(one, "p50")),
        _shown(_over(sixteen, "p99")),
        _shown(Spread.of(results.starts.get(peer, ()))),
        *(_median(Spread.of(results.memory.get(peer, {}).get(kind, ()))) for kind in ("pss", "rss")),
        results.peers[peer]["scores"].get(form, NONE),
    ]


def _details(results: Results) -> Iterator[str]:
    cells = {
        CLOSED: ("Closed loop, 100 documents, by connections", "{:.0f}"),
        OPEN: ("Poisson arrivals, 100 documents, by share of the server's own capacity", "{:.0%}"),
        ALIKE: ("Poisson arrivals, 100 documents, by share of MLServer's capacity", "{:.0%}"),
    }
    for loop, (title, form) in cells.items():
        loads = results.loads(loop)
        rows = [[*who, *(_cell(results.at(who, loop, load)) for load in loads)] for who in results.asked()]
        if loads:
            rows = [row for row in rows if set(row[2:]) != {NONE}]
            yield from _titled(title, ["server", "format", *map(form.format, loads)], rows)
            yield "Each: requests/s answered 200; p50 / p99 of those in ms; what else came, the most of a round."
    yield from _by_documents(results)
    rows = [
        [name, *(_shown(Spread.of(by_count[count])) for count in by_count)] for name, by_count in results.alone.items()
    ]
    if rows:
        counts = list(next(iter(results.alone.values())))
        heads = ["", *(f"{count} documents" for count in counts)]
        yield from _titled(
            "Ours without a server, microseconds", heads, [row for row in rows if len(row) == len(heads)]
        )


def _by_documents(results: Results) -> Iterator[str]:
    closed = [point for point in results.points if point.loop == CLOSED and point.documents != REFERENCE_DOCUMENTS]
    sizes = sorted({(point.documents, point.load) for point in closed})
    rows = [
        [*who, *(_cell(results.at(who, CLOSED, load, documents)) for documents, load in sizes)]
        for who in results.asked()
    ]
    if sizes:
        heads = [f"{documents} documents, {load:.0f} conn." for documents, load in sizes]
        yield from _titled("Closed loop, other sizes", ["server", "format", *heads], rows)


def _cell(points: Sequence[Measured]) -> str:
    if not points:
        return NONE
    goodput, p50, p99 = (_median(_over(points, name)) for name in ("goodput", "p50", "p99"))
    statuses = sorted({status for point in points for status in point.shares} - {"200"})
    refused = {status: max(point.shares.get(status, 0.0) for point in points) for status in statuses}
    return f"{goodput}; {p50} / {p99}" + "".join(f"; {share:.1%} {status}" for status, share in refused.items())


def _over(points: Sequence[Measured], name: str) -> Spread | None:
    """A field over rounds, where it has a value."""
    return Spread.of(value for point in points if (value := getattr(point, name)) is not None)


def _made_of(results: Results) -> Iterator[str]:
    yield from _titled("Versions", ["server", ""], [[n, _pairs(p["versions"])] for n, p in results.peers.items()])


def _titled(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield from ("", f"## {title}", "")
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _shown(spread: Spread | None) -> str:
    if spread is None:
        return NONE
    if spread.low == spread.high:
        return _number(spread.median)
    return f"{_number(spread.median)} ({_number(spread.low)} - {_number(spread.high)})"


def _exact(spread: Spread | None) -> str:
    """Enough digits to see on which side of a goal it is."""
    return NONE if spread is None else f"{spread.median:.2f} ({spread.low:.2f} - {spread.high:.2f})"


def _median(spread: Spread | None, unit: str = "") -> str:
    return NONE if spread is None else _number(spread.median) + unit


def _number(value: float) -> str:
    """Three digits say all that such a measurement knows."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
