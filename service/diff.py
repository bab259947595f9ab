"""What differs between two model versions."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from service.manifest import Manifest


@dataclass(frozen=True)
class Difference:
    """One line of a diff. `kind`: added, removed, changed or moved. `delta`: after - before, of two numbers."""

    section: str
    key: str
    kind: str
    before: Any = None
    after: Any = None
    delta: float | None = None


def diff(a: Manifest, b: Manifest) -> list[Difference]:
    """What changed from `a` to `b`, section by section; empty when the content is the same.

    The fewest features that explain the new order count as moved: one name put first does not move all others.
    """
    sections: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = [
        ("model", _identity(a), _identity(b)),
        ("parameters", a.parameters, b.parameters),
        ("metrics", a.metrics, b.metrics),
        ("data", a.data, b.data),
        ("libraries", a.libraries, b.libraries),
        ("files", _files(a), _files(b)),
        ("extra", a.extra, b.extra),
    ]
    found = _features(a.schema.names, b.schema.names)
    for section, before, after in sections:
        found += _values(section, flatten(before), flatten(after))
    return found


def flatten(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as dotted keys; lists stay values."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(cast(Mapping[str, Any], value), f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _identity(manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "objective": manifest.objective,
        "commit": manifest.commit,
        "dirty": manifest.dirty,
        "created": manifest.created,
    }


def _files(manifest: Manifest) -> dict[str, Any]:
    return {name: f"sha256:{entry.sha256} ({entry.size} bytes)" for name, entry in manifest.files.items()}


def _features(before: tuple[str, ...], after: tuple[str, ...]) -> list[Difference]:
    old, new = ({name: column for column, name in enumerate(names)} for names in (before, after))
    found = [Difference("features", name, "removed", before=old[name]) for name in before if name not in new]
    found += [Difference("features", name, "added", after=new[name]) for name in after if name not in old]
    kept = [name for name in before if name in new]
    stayed = _longest_rise([new[name] for name in kept])
    return found + [
        Difference("features", name, "moved", old[name], new[name]) for name in kept if new[name] not in stayed
    ]


def _longest_rise(places: list[int]) -> set[int]:
    """The members of a longest increasing subsequence, by patience sorting (Fredman 1975)."""
    tops: list[int] = []
    below: dict[int, int | None] = {}
    for place in places:
        pile = bisect_left(tops, place)
        below[place] = tops[pile - 1] if pile else None
        tops[pile : pile + 1] = [place]
    rise: set[int] = set()
    place = tops[-1] if tops else None
    while place is not None:
        rise.add(place)
        place = below[place]
    return rise


def _values(section: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    found: list[Difference] = []
    for key in sorted(before.keys() | after.keys()):
        if key not in after:
            found.append(Difference(section, key, "removed", before=before[key]))
        elif key not in before:
            found.append(Difference(section, key, "added", after=after[key]))
        elif not _equal(before[key], after[key]):
            delta = _delta(before[key], after[key])
            found.append(Difference(section, key, "changed", before[key], after[key], delta))
    return found


def _equal(a: Any, b: Any) -> bool:
    # JSON's true is not its 1, though Python's is.
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def _delta(a: Any, b: Any) -> float | None:
    if isinstance(a, bool) or isinstance(b, bool) or not isinstance(a, int | float) or not isinstance(b, int | float):
        return None
    return b - a
