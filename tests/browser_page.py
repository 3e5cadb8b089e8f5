"""Opens the page of ``viz.tape`` in a headless Chromium, and reads what it drew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

# Nothing is fetched, updated or reported while the tests run.
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1400,1000",
    "--force-device-scale-factor=1",
]

# Every problem of a laid-out scene: overlaps, cards outside of their box, lines through cards.
PROBLEMS = """
const problems = (scene) => {
  const bad = [];
  const rect = (i) => [i.x, i.y, i.x + i.w, i.y + i.h];
  const hit = (a, b) => a[0] < b[2] - 0.5 && b[0] < a[2] - 0.5 && a[1] < b[3] - 0.5 && b[1] < a[3] - 0.5;
  const within = (a, b) => a[0] >= b[0] - 0.5 && a[1] >= b[1] - 0.5 && a[2] <= b[2] + 0.5 && a[3] <= b[3] + 0.5;
  const owns = (box, item) => { let up = item.parent; while (up && up !== box) up = up.parent; return Boolean(up); };
  const { items, boxes, edges } = scene;
  for (const a of items) for (const b of items) if (a.id < b.id && hit(rect(a), rect(b))) bad.push(`${a.id} over ${b.id}`);
  for (const a of boxes) for (const b of [...items, ...boxes]) {
    if (a === b || owns(b, a)) continue;
    if (owns(a, b) ? !within(rect(b), rect(a)) : hit(rect(a), rect(b))) bad.push(`box ${a.id} and ${b.id}`);
  }
  for (const edge of edges) {
    const name = `${edge.source.id}>${edge.target.id}`;
    for (let i = 1; i < edge.points.length; i += 1) {
      const [[x0, y0], [x1, y1]] = [edge.points[i - 1], edge.points[i]];
      if (y1 < y0 - 0.01) bad.push(`${name} goes up`);
      const piece = [Math.min(x0, x1) - 0.6, y0, Math.max(x0, x1) + 0.6, y1];
      for (const item of items) {
        if (item !== edge.source && item !== edge.target && hit(piece, rect(item))) bad.push(`${name} through ${item.id}`);
      }
    }
    const [start, end] = [edge.points[0], edge.points[edge.points.length - 1]];
    if (Math.abs(start[1] - edge.source.y - edge.source.cardHeight) > 0.5) bad.push(`${name} starts elsewhere`);
    if (Math.abs(end[1] - edge.target.y) > 0.5) bad.push(`${name} ends elsewhere`);
  }
  return bad;
};
"""  # noqa: E501


@contextmanager
def chromium(profile: Path) -> Iterator[Any]:
    """A driver of Debian's Chromium with a fresh profile; skips where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="the page's tests need selenium")
    from selenium.webdriver.chrome.service import Service

    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("the page's tests need chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    running = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield running
    finally:
        running.quit()


def requests(driver: Any) -> list[str]:
    """The addresses asked for since the last call, ``data:`` left out."""
    found = []
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            found.append(message["params"]["request"]["url"])
    return [address for address in found if not address.startswith("data:")]


def settle(driver: Any) -> None:
    """Wait until what was asked for is drawn: a step moves the view, which then draws."""
    driver.execute_async_script(
        "const [done] = arguments; let left = 4;"
        "const frame = () => (left-- ? requestAnimationFrame(frame) : done()); frame();"
    )


def still(driver: Any) -> None:
    """Moves of the view happen at once, as for who asked for less motion."""
    media = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})


def ids(driver: Any, selector: str) -> list[int]:
    """The nodes of the elements that ``selector`` finds, without repetitions, in order."""
    script = (
        "return [...document.querySelectorAll(arguments[0])]"
        ".map((e) => Number(e.dataset.node ?? e.dataset.again ?? e.dataset.chip))"
    )
    return sorted(set(driver.execute_script(script, selector)))


def scale(driver: Any) -> tuple[float, float, float]:
    """The view: scale, and where the drawing's corner is."""
    text = driver.execute_script(
        "return document.querySelector('#drawing .world').getAttribute('transform')"
    )
    where, _, by = text.partition(") scale(")
    x, y = where.removeprefix("translate(").split()
    return float(by.rstrip(")")), float(x), float(y)
