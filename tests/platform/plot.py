"""Run by an interpreter that has matplotlib: the run at argv[1] as an SVG at argv[2]."""

# pyright: basic, reportMissingImports=false
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "podium"
from matplotlib import pyplot  # noqa: E402

WINDOW = 0.5


def spread(values: list[tuple[float, float]], share: float) -> tuple[list[float], list[float]]:
    """A quantile of each window."""
    windows: dict[int, list[float]] = {}
    for at, value in values:
        windows.setdefault(int(at // WINDOW), []).append(value)
    xs = sorted(windows)
    return [x * WINDOW for x in xs], [sorted(windows[x])[int(share * (len(windows[x]) - 1))] for x in xs]


def counted(times: list[float]) -> tuple[list[float], list[float]]:
    windows: dict[int, int] = {}
    for at in times:
        windows[int(at // WINDOW)] = windows.get(int(at // WINDOW), 0) + 1
    xs = range(min(windows, default=0), max(windows, default=0) + 1)
    return [x * WINDOW for x in xs], [windows.get(x, 0) / WINDOW for x in xs]


def main() -> None:
    run = json.loads(Path(sys.argv[1]).read_text())
    moments, outcomes = run["moments"], run["outcomes"]
    figure, axes = pyplot.subplots(4, 1, figsize=(9, 9), sharex=True, layout="constrained")
    axes[0].step(*counted([each["planned"] for each in outcomes]), where="post", label="arrivals", linewidth=1)
    refused = [each["planned"] for each in outcomes if each["status"] != 200]
    if refused:
        axes[0].step(*counted(refused), where="post", label="refused or failed", color="tab:red", linewidth=1)
    axes[0].set_ylabel("requests/s")
    axes[0].legend(fontsize=8)
    at = [each["at"] for each in moments]
    axes[1].step(at, [each["waiting"] for each in moments], where="post", color="tab:orange", linewidth=1)
    axes[1].set_ylabel("requests waiting")
    axes[2].step(at, [each["wanted"] for each in moments], where="post", label="wanted", linewidth=1)
    axes[2].step(at, [each["ready"] for each in moments], where="post", label="ready", linewidth=1)
    axes[2].set_ylabel("pods")
    axes[2].legend(fontsize=8)
    latencies = [(each["planned"], each["seconds"] * 1000) for each in outcomes if each["status"] == 200]
    for share, name in ((0.5, "median"), (0.99, "p99")):
        axes[3].plot(*spread(latencies, share), label=name, linewidth=1)
    axes[3].set(
        ylabel="ms until 200", yscale="log", xlabel=f"seconds; the scaler's clock goes {run['speed']:g} times as fast"
    )
    axes[3].legend(fontsize=8)
    for each in axes:
        each.grid(alpha=0.3)
    figure.suptitle(run["title"], fontsize=10)
    figure.savefig(sys.argv[2], metadata={"Date": None}, bbox_inches="tight")


if __name__ == "__main__":
    main()
