"""Photograph a page, with the mouse on a point: the pictures of pages in docs/.

python tests/browser/picture.py runs/quickstart/report.html docs/report.png --at "#residuals"
python tests/browser/picture.py found/report.html docs/discover.png --at "#class-4" --only
"""

import argparse
import base64
import tempfile
from pathlib import Path

from conftest import Browser, started

WIDTH, HEIGHT = 960, 20000  # pixels: nothing scrolls, which would hide what the mouse shows
POINT = ".plot .scatterlayer .trace:nth-of-type(1) .points path"
SHOWN = "!document.getElementById('tip').hidden"
BOX = """const [one, chart, tip] = [arguments[0], `${arguments[0]} .chart`, "#tip"].map(
  (selector) => document.querySelector(selector).getBoundingClientRect());
return [one.top + scrollY, Math.max(chart.bottom, tip.bottom) + scrollY + 12];"""


def photograph(browser: Browser, page: Path, at: str, only: bool) -> bytes:
    """A PNG of the page down to the first chart of a section; with ``only``, from the section's
    top.
    """
    browser.open(page.resolve(), WIDTH)
    metrics = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    browser.command("Emulation.setDeviceMetricsOverride", **metrics)
    browser.point_at(f"{at} {POINT}", shows=SHOWN)
    top, bottom = browser.run(BOX, at)
    clip = {"x": 0, "y": top if only else 0, "width": WIDTH, "scale": 1}
    clip["height"] = bottom - clip["y"]
    shot = browser.command("Page.captureScreenshot", clip=clip)
    return base64.b64decode(shot["data"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--at", required=True, metavar="SELECTOR", help="section of the point")
    parser.add_argument("--only", action="store_true", help="leave out what is above the section")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as profile, started(Path(profile)) as browser:
        options.picture.write_bytes(photograph(browser, options.page, options.at, options.only))


if __name__ == "__main__":
    main()
