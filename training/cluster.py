"""`python -m training.cluster`: fits on several hosts, without SageMaker.

    PODIUM_HOSTS_TOKEN=secret python -m training.cluster --hosts a,b --host a fit --data DIR

The same on each host, with its own `--host`. The model is kept by the first of the hosts in sorted order.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from training.hosts import HostLost, Hosts, HostsError
from training.peers import Terms
from training.supervisor import TOKEN, supervise, worker_command

REFUSED_EXIT = 3


def parser() -> argparse.ArgumentParser:
    terms = Terms("")
    top = argparse.ArgumentParser(
        prog="python -m training.cluster",
        description="Fit on several hosts: start the same command on each, with its own --host.",
        epilog=f"{TOKEN} must hold the same secret on every host. XGBoost's own connections have none: "
        "keep the network between the hosts closed to others.",
    )
    top.add_argument("--hosts", required=True, metavar="A,B,...", help="all hosts, by names or addresses")
    top.add_argument("--host", required=True, metavar="A", help="which of them this is")
    top.add_argument(
        "--port", type=int, default=terms.port, help=f"of the first host, and up to 17 after it (default: {terms.port})"
    )
    top.add_argument(
        "--join-within", type=float, default=terms.join_within, metavar="SECONDS",
        help=f"wait so long for all hosts (default: {terms.join_within:g})",
    )  # fmt: skip
    top.add_argument(
        "--silent-for", type=float, default=terms.silent_for, metavar="SECONDS",
        help=f"give up a host that says nothing for so long (default: {terms.silent_for:g})",
    )  # fmt: skip
    top.add_argument("verb", choices=("fit", "run"))
    top.add_argument("arguments", nargs=argparse.REMAINDER, help="as of `python -m training VERB`")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """As `together`; 2 for bad usage."""
    args = parser().parse_args(argv)
    token = os.environ.get(TOKEN)
    if not token:
        return _fail(f"set {TOKEN} to the same secret on every host", 2)
    try:
        hosts = Hosts.of(args.hosts.split(","), args.host)
    except HostsError as error:
        return _fail(error, 2)
    terms = Terms(token, args.port, args.join_within, args.silent_for)
    return together(hosts, terms, worker_command([args.verb, *args.arguments]))


def together(hosts: Hosts, terms: Terms, command: Sequence[str]) -> int:
    """Exit code: 0 done, 3 the hosts refuse one another, 5 one is lost; that of a worker that failed, on all hosts."""
    try:
        supervise(hosts, terms, command)
    except HostsError as error:
        return _fail(error, REFUSED_EXIT)
    except HostLost as lost:
        return _fail(f"{lost}; training ends on every host", lost.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing was left half-made", 130)
    return 0


def _fail(message: object, exit_code: int) -> int:
    sys.stderr.write(f"podium: {message}\n")
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
