"""Draw images of each cluster, or of each predicted name, in strips: a picture to judge by eye.

    python examples/strips.py found/clusters.csv strips.png --only A B D
    python examples/strips.py predictions.csv strips.png --only A B D --most 20

A strip holds members drawn at random with a fixed seed, never the best ones. The class of an image
is that of clusters.csv, or the name of its folder. Classes of a single cluster are drawn when they
are named by --only.
"""

import argparse
import csv
import random
from collections import defaultdict
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIDE, GAP, MARGIN = 28, 2, 74  # pixels
HEIGHT = SIDE + 2 * GAP
INK, LINE, GROUND = (30, 40, 50), (200, 206, 214), (255, 255, 255)


def read_strips(table: Path, names: Path | None) -> dict[str, dict[str, list[str]]]:
    """The paths of each class by cluster or name."""
    named = {}
    if names is not None:
        with names.open(newline="", encoding="utf-8") as file:
            named = {row["cluster"]: row["name"] for row in csv.DictReader(file) if row["name"]}
    strips: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            group = row["name"] if "name" in row else named.get(row["cluster"], row["cluster"])
            of = row.get("coarse") or Path(row["path"]).parent.name
            strips[of][group].append(row["path"])
    return strips


def draw(strips: dict[str, dict[str, list[str]]], most: int, columns: int) -> Image.Image:
    """One line a cluster; classes side by side in columns."""
    lines = [
        [(name, group, paths) for group, paths in sorted(groups.items())]
        for name, groups in strips.items()
    ]
    per_column = -(-len(lines) // columns)
    blocks = [lines[i : i + per_column] for i in range(0, len(lines), per_column)]
    width = MARGIN + most * (SIDE + GAP) + 16
    tall = max(sum(len(groups) * HEIGHT + 8 for groups in block) for block in blocks)
    sheet = Image.new("RGB", (width * len(blocks), tall + 4), GROUND)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for x, block in zip(range(0, sheet.width, width), blocks, strict=True):
        y = 4
        for groups in block:
            for _, group, paths in groups:
                pen.text((x + 4, y + 1), group[:10], INK, font)
                pen.text((x + 4, y + 16), f"{len(paths)}", (110, 120, 130), font)
                chosen = random.Random(0).sample(sorted(paths), min(most, len(paths)))
                for place, path in enumerate(chosen):
                    with Image.open(path) as image:
                        tile = image.convert("RGB").resize((SIDE, SIDE))
                    sheet.paste(tile, (x + MARGIN + place * (SIDE + GAP), y + GAP))
                y += HEIGHT
            pen.line((x + 4, y + 3, x + width - 12, y + 3), LINE)
            y += 8
    return sheet


def main() -> None:
    """Read the table, draw the strips."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path, help="clusters.csv or predictions.csv with a path")
    parser.add_argument("out", type=Path, help="the picture")
    parser.add_argument("--names", type=Path, help="names.csv, for clusters.csv")
    parser.add_argument("--only", nargs="+", help="classes to draw")
    parser.add_argument("--most", type=int, default=14, help="images in a strip")
    parser.add_argument("--columns", type=int, default=2, help="classes side by side")
    options = parser.parse_args()
    strips = read_strips(options.table, options.names)
    chosen = {
        name: groups
        for name, groups in sorted(strips.items())
        if (name in options.only if options.only else len(groups) > 1)
    }
    draw(chosen, options.most, options.columns).save(options.out)


if __name__ == "__main__":
    main()
