"""All servers that can be measured, by name."""

from __future__ import annotations

from collections.abc import Iterable

from tests.bench.foreign import FOREIGN
from tests.bench.own import OWN
from tests.bench.peer import Peer

PEERS: dict[str, Peer] = {**OWN, **FOREIGN}


def chosen(only: str | None, peers: dict[str, Peer]) -> dict[str, Peer]:
    """Those that a list with commas names, or all.

    Raises:
        ValueError: it names none, or one that there is not.
    """
    if only is None:
        return peers
    names = [name.strip() for name in only.split(",") if name.strip()]
    unknown = [name for name in names if name not in peers]
    if unknown or not names:
        raise ValueError(f"no server is called {_listed(unknown) or 'nothing'}; there are {_listed(peers)}")
    return {name: peer for name, peer in peers.items() if name in names}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
