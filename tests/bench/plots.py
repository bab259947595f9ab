"""Run by an interpreter that has matplotlib: plots of the results at argv[1] as SVG, named after argv[2]."""

# pyright: basic, reportMissingImports=false
import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "podium"
from matplotlib import pyplot  # noqa: E402

KINDS = {
    "throughput": ("closed", "goodput", "connections (closed loop)", "requests/s answered 200"),
    "tail": ("open", "p99", "load, share of the server's own capacity (Poisson arrivals)", "p99, ms"),
}


def lines(points: list[dict], loop: str, value: str) -> dict:
    found = defaultdict(lambda: defaultdict(list))
    for point in points:
        if point["loop"] == loop and point["documents"] == 100 and point[value] is not None:
            found[f"{point['peer']} {point['format']}"][point["load"]].append(point[value])
    return found


def plot(points: list[dict], kind: str, path: Path) -> None:
    loop, value, x, y = KINDS[kind]
    figure, axes = pyplot.subplots(figsize=(9, 5.5))
    for name, by_load in lines(points, loop, value).items():
        loads = sorted(by_load)
        middle = [median(by_load[load]) for load in loads]
        below = [median(by_load[load]) - min(by_load[load]) for load in loads]
        above = [max(by_load[load]) - median(by_load[load]) for load in loads]
        axes.errorbar(loads, middle, yerr=[below, above], label=name, marker="o", markersize=4, capsize=2, linewidth=1)
    axes.set_yscale("log")
    if loop == "closed":
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:.0f}")
    else:
        axes.xaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1))
    axes.set(xlabel=x, ylabel=y, title="100 documents; median, least and most over rounds")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(figure)


def main() -> None:
    points = json.loads(Path(sys.argv[1]).read_text())["points"]
    for kind in KINDS:
        plot(points, kind, Path(f"{sys.argv[2]}-{kind}.svg"))


if __name__ == "__main__":
    main()
