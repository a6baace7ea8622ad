"""benchmarks/results.json as a picture and as tables: `python -m benchmarks.plot`."""

import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks.run import PROJECT, UNITS, table

SHOWN = ("training", "unchanged")
OURS = "pipeline"


def draw(results: dict[str, Any], path: Path) -> None:
    """Bars of the medians with the range of all rounds, one panel for each comparison."""
    import matplotlib.pyplot as plt

    names = [name for name in SHOWN if name in results]
    counts = [len(results[name]["measured"]) for name in names]
    figure, axes = plt.subplots(
        len(names),
        1,
        figsize=(9, 1.2 + 0.36 * sum(counts)),
        height_ratios=counts,
        layout="constrained",
        squeeze=False,
    )
    for name, ax in zip(names, axes[:, 0], strict=True):
        measured = results[name]["measured"]
        ways = sorted(measured, key=lambda way: statistics.median(measured[way]), reverse=True)
        medians = [statistics.median(measured[way]) for way in ways]
        low = [m - min(measured[way]) for m, way in zip(medians, ways, strict=True)]
        high = [max(measured[way]) - m for m, way in zip(medians, ways, strict=True)]
        colours = ["#1f77b4" if OURS in way else "#b9c3cd" for way in ways]
        ax.barh(ways, medians, xerr=(low, high), color=colours, ecolor="#555555", capsize=2)
        for row, (median, far) in enumerate(zip(medians, high, strict=True)):
            ax.annotate(
                f"{median:.3g}",
                (median + far, row),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
            )
        ax.set_title(f"{name}: {UNITS[name]}, median and range", loc="left", fontsize=10)
        ax.margins(x=0.08)
        ax.spines[["top", "right"]].set_visible(False)
    about = results[names[0]]
    figure.supxlabel(
        f"{about['date']}, {about['processor']}, Python {about['python']},"
        f" TensorFlow {about['tensorflow']}, Prefect {about['prefect']}",
        fontsize=8,
    )
    figure.savefig(path, dpi=100)


def main() -> None:
    results = json.loads((PROJECT / "benchmarks" / "results.json").read_text())
    draw(results, PROJECT / "docs" / "benchmarks.png")
    for name, result in results.items():
        print(table(name, result["measured"]), end="\n\n")


if __name__ == "__main__":
    main()
