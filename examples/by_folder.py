"""Compare predicted names with the folders of the images, as a table.

    python examples/by_folder.py predictions.csv

For images in folders that are called like the names: the share of right names in each folder, worst
first, and the most frequent wrong names.
"""

import argparse
import csv
from collections import Counter
from pathlib import Path

MOST_WRONG = 3


def count_names(table: Path) -> dict[str, Counter[str]]:
    """How often each name is predicted in each folder."""
    counts: dict[str, Counter[str]] = {}
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            counts.setdefault(Path(row["path"]).parent.name, Counter())[row["name"]] += 1
    return counts


def line(folder: str, names: Counter[str]) -> str:
    """A folder's images, the share of right names, and the most frequent wrong names."""
    wrong = Counter({name: count for name, count in names.items() if name != folder})
    said = ", ".join(f"{name} {count}" for name, count in wrong.most_common(MOST_WRONG))
    return f"{folder:12} {names.total():6,} {names[folder] / names.total():7.1%}  {said}"


def main() -> None:
    """Read the table, print a line for each folder and for all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path, help="predictions.csv with the column path")
    counts = count_names(parser.parse_args().table)
    for folder, names in sorted(
        counts.items(), key=lambda item: item[1][item[0]] / item[1].total()
    ):
        print(line(folder, names))
    right = sum(names[folder] for folder, names in counts.items())
    total = sum(names.total() for names in counts.values())
    print(f"{'all':12} {total:6,} {right / total:7.1%}")


if __name__ == "__main__":
    main()
