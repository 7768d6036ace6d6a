"""The sliders that go through the epochs of a run's page."""

import json
from pathlib import Path

import numpy as np
import pytest
from example_run import write_run

from collapse_lit.measure.recovery.epoch import select_epoch
from collapse_lit.report import build_report
from collapse_lit.report import page as page_module
from collapse_lit.tracking.run_directory import RunDirectory

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("quiet")]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run with fine labels, and one without."""
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_module, "run_figures", lambda *_: ())  # not looked at here
        return {
            name: build_report(write_run(folder / name, told=name == "run").path)
            for name in ("run", "untold")
        }


def move(browser, section: str, place: int) -> None:
    browser.run(
        "const slider = document.querySelector(`${arguments[0]} .slider input`);"
        "slider.value = arguments[1]; slider.dispatchEvent(new Event('input'))",
        section,
        place,
    )


def colours(browser) -> list[list[str]]:
    """Of the points of each scatter, in the order of their samples."""
    return browser.run(
        "return [...document.querySelectorAll('#residuals .plot')].map(plot => plot.data.flatMap("
        "trace => (trace.customdata ?? []).map(tip => [tip.at(-1), trace.marker.color]))"
        ".sort().map(([, colour]) => colour))"
    )


WHERE = (
    "return [...document.querySelectorAll('#residuals .points path')]"
    ".map(path => path.getAttribute('transform').match(/[-.\\d]+/g).map(Number))"
)
SAID = "return document.querySelector('#residuals .beside').innerText.replace(/\\s+/g, ' ')"
AT = (  # the scatters hold the points of an epoch of the slider, and none is on its way
    "(({ frames }) => [...document.querySelectorAll('#residuals .plot')].every((plot, i) =>"
    " !plot._transitioning && String((plot.data ?? []).flatMap(t => [...t.x]).sort())"
    " === String(frames[%d][i].x.toSorted())))"
    "(JSON.parse(document.querySelector('#residuals .slider script').textContent))"
)
EPOCH = "return document.querySelector('#residuals output').textContent"


@pytest.mark.parametrize("width", [1280, 375])
@pytest.mark.parametrize("kind", ["run", "untold"])
def test_one_slider_moves_all_scatters(pages, browser, kind: str, width: int) -> None:
    """Points go where the epoch has them, in the colours that they had."""
    browser.leave("about:blank")
    browser.open(pages[kind], width)
    assert browser.run(EPOCH) == "epoch 0, chosen"
    assert browser.run(SAID) == "white2/gmm spread 0.50"
    painted, places = colours(browser), browser.run(WHERE)
    assert len(painted) == 2
    assert all(len(set(of)) == 2 for of in painted)
    move(browser, "#residuals", 2)
    assert browser.run(EPOCH) == "epoch 3"
    assert browser.run(SAID) == "white2/gmm spread 0.12"
    browser.until(AT % 2)
    moved = browser.run(WHERE)
    assert len(moved) == len(places) == 40
    assert (np.abs(np.subtract(moved, places)).max(axis=1) > 1).sum() > 20
    assert colours(browser) == painted
    move(browser, "#residuals", 0)
    browser.until(AT % 0)
    assert np.allclose(browser.run(WHERE), places, atol=0.1)


def test_the_slider_goes_by_keyboard_and_plays_by_itself(pages, browser) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.leave("about:blank")
    browser.open(pages["run"])
    slider = browser.driver.find_element("css selector", "#residuals .slider input")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert browser.run(EPOCH) == "epoch 1"
    assert slider.get_attribute("aria-valuetext") == "epoch 1"
    button = browser.driver.find_element("css selector", "#residuals .slider button")
    button.send_keys(Keys.ENTER)
    browser.until("document.querySelector('#residuals output').textContent === 'epoch 3'")
    assert button.text == "Play"  # the last epoch ends it
    button.send_keys(Keys.ENTER)
    assert browser.run(EPOCH) == "epoch 0, chosen"
    assert button.text == "Pause"
    slider.send_keys(Keys.END)
    assert browser.run(EPOCH) == "epoch 3"
    assert button.text == "Play"


def test_a_scatter_that_comes_into_view_later_is_at_the_epoch_of_the_slider(pages, browser) -> None:
    browser.leave(pages["run"].as_uri())
    move(browser, "#residuals", 2)
    browser.run("document.querySelectorAll('.chart').forEach(draw)")
    browser.until(AT % 2)


def test_printing_shows_the_chosen_epoch(pages, browser) -> None:
    browser.leave("about:blank")
    browser.open(pages["run"])
    move(browser, "#residuals", 2)
    browser.run("dispatchEvent(new Event('beforeprint'))")
    browser.command("Emulation.setEmulatedMedia", media="print")
    place = "return getComputedStyle(document.querySelector('#residuals .slider')).position"
    assert browser.run(place) == "static"  # else it would lie on the points
    browser.command("Emulation.setEmulatedMedia", media="")
    assert browser.run(EPOCH) == "epoch 0, chosen"
    assert browser.run(SAID) == "white2/gmm spread 0.50"
    browser.until(AT % 0)
    browser.run("dispatchEvent(new Event('afterprint'))")
    assert browser.run(EPOCH) == "epoch 3"


def chosen_of(page: Path) -> int:
    return select_epoch(RunDirectory(page.parent).read_history())["epoch"]


def test_the_slider_changes_the_heat_map(pages, browser) -> None:
    browser.open(pages["run"])
    shown = "JSON.stringify(document.querySelector('#heat-map .plot').data[0].z)"
    says = "return document.querySelector('#distances output').textContent"
    before, chosen = browser.run(f"return {shown}"), chosen_of(pages["run"])
    assert browser.run(says) == f"epoch {chosen}, chosen"
    move(browser, "#distances", 2)
    browser.until(f"{shown} !== {json.dumps(before)}")
    assert browser.run(says) == "epoch 3"
