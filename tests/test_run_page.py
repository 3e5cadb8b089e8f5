"""report.html: its numbers against ones counted here, and what a browser makes of it."""

from __future__ import annotations

import base64
import itertools
import json
import math
import re
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from browser_page import chromium, requests, settle
from report_cases import HOSTILE, epochs, predictions, run, steps

from lucidlite.training.charts import Line, draw, nice_ticks
from lucidlite.training.confusion import confusion, pairs, rates, worst_mistakes
from lucidlite.training.confusion_html import drawn, percent
from lucidlite.training.predictions import Predictions
from lucidlite.training.run_page import duration, report_page

MANY = 120

# -- numbers ------------------------------------------------------------------------------------


def counted(seen, classes):
    """The confusion matrix, one image after another."""
    table = [[0] * classes for _ in range(classes)]
    for row, truth in zip(seen.probabilities, seen.targets, strict=True):
        said = max(range(classes), key=lambda each: row[each])
        table[truth][said] += 1
    return table


def test_confusion_rates_and_pairs():
    seen = predictions(7, 300, (1, 4, 4))
    counts = confusion(seen, 7)
    table = counted(seen, 7)
    assert counts.tolist() == table
    recall, precision = rates(counts)
    for each in range(7):
        assert recall[each] == table[each][each] / sum(table[each])
        assert precision[each] == table[each][each] / sum(row[each] for row in table)
    wrong = [(n, i, j) for i, row in enumerate(table) for j, n in enumerate(row) if i != j and n]
    found = pairs(counts, 5)
    assert [p.times for p in found] == sorted((n for n, _, _ in wrong), reverse=True)[:5]
    assert {(p.times, p.truth, p.said) for p in found} <= set(wrong)


def test_classes_without_images_or_answers():
    table = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0]], np.float32)
    seen = Predictions(np.zeros((2, 1, 2, 2), np.float32), table, np.array([0, 2]))
    recall, precision = rates(confusion(seen, 3))
    np.testing.assert_equal(recall, [1.0, math.nan, 0.0])
    np.testing.assert_equal(precision, [0.5, math.nan, math.nan])


def test_worst_mistakes_are_the_surest():
    seen = predictions(5, 200, (1, 4, 4))
    worst = worst_mistakes(seen, 6)
    wrong = [
        (float(row.max()), i)
        for i, (row, truth) in enumerate(zip(seen.probabilities, seen.targets, strict=True))
        if row.argmax() != truth
    ]
    assert [each.number for each in worst] == [i for _, i in sorted(wrong, reverse=True)[:6]]
    for each in worst:
        row = seen.probabilities[each.number]
        assert (each.sure, each.said) == (row.max(), row.argmax())
        assert (each.truth, each.truth_share) == (seen.targets[each.number], row[each.truth])


@pytest.mark.parametrize(
    ("low", "high", "want"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0, 0.0, [0.0, 1.0]), (93, 100, [92, 94, 96, 98, 100]),
        (0, 3e-4, [0, 1e-4, 2e-4, 3e-4]), (5, 5, None),
    ],
)  # fmt: skip
def test_ticks(low, high, want):
    ticks = nice_ticks(low, high, 5)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    if want is not None and high > low:
        np.testing.assert_allclose(ticks, want, atol=1e-15)
    assert 2 <= len(ticks) <= 8


def test_lines_leave_out_what_is_not_finite_and_thin_what_is_long():
    y = [math.nan, 2.0, math.inf, 1.0]
    chart = draw("a", [Line("a", "train", range(4), y)], 3, label="a", say=str)
    assert chart.data["lines"][0]["x"] == [1, 3]
    assert "nan" not in chart.html
    assert "inf" not in chart.html
    x = np.arange(6000) / 100
    chart = draw("a", [Line("a", "train", x, x)], 60, label="a", say=str)
    shown = chart.data["lines"][0]
    assert len(shown["x"]) == 600
    np.testing.assert_allclose(shown["y"], x.reshape(600, 10).mean(1), atol=1e-6)
    assert shown["x"][-1] == 59.99


@pytest.mark.parametrize(
    ("shape", "size"),
    [((1, 28, 28), (28, 28)), ((3, 300, 200), (150, 100)), ((3, 1000, 2), (143, 1)),
     ((3, 160, 160), (160, 160)), ((3, 161, 30), (80, 15))],
)  # fmt: skip
def test_pictures_of_mistakes(shape, size):
    image = pytest.importorskip("PIL.Image", reason="reads the pictures")
    import io

    values = np.random.default_rng(0).random(shape)
    picture = drawn(values)
    assert (picture.height, picture.width) == size
    read = np.asarray(image.open(io.BytesIO(picture.png)))
    if max(shape) <= 160:
        want = np.rint(values * 255).astype(np.uint8).transpose(1, 2, 0)
        np.testing.assert_array_equal(read, want[..., 0] if shape[0] == 1 else want)
    elif shape == (3, 300, 200):
        want = values.reshape(3, 150, 2, 100, 2).mean((2, 4)).transpose(1, 2, 0) * 255
        np.testing.assert_allclose(read, want, atol=0.51)


def test_grey_stays_grey():
    plane = np.random.default_rng(0).random((1, 9, 9))
    assert drawn(np.repeat(plane, 3, 0)).png == drawn(plane).png
    assert drawn(np.full((1, 2, 2), math.nan)).png == drawn(np.zeros((1, 2, 2))).png


@pytest.mark.parametrize(
    ("share", "want"),
    [(1.0, "> 99.99%"), (0.999, "99.90%"), (0.42, "42.0%"), (0.001, "0.10%"), (0.0, "< 0.01%")],
)
def test_percent(share, want):
    assert percent(share) == want


@pytest.mark.parametrize(
    ("seconds", "want"),
    [(0.84, "0.8 s"), (59.2, "59 s"), (3599, "59 min 59 s"), (7500, "2 h 5 min")],
)
def test_duration(seconds, want):
    assert duration(seconds) == want


# -- the file -----------------------------------------------------------------------------------


class Outline(HTMLParser):
    """Open elements, to see that each is closed, and all attributes."""

    def __init__(self, page):
        super().__init__()
        self.open, self.attributes = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]


@pytest.mark.parametrize(
    "made",
    [
        {},
        {"classes": MANY, "count": 900, "shape": (3, 40, 30), "warnings": [HOSTILE]},
        {"rows": [], "seen": None, "images": None, "steps": steps(3), "stopped": "Stopped."},
        {"rows": [], "seen": None, "images": None, "steps": []},
        {"wrong": 0.0, "steps": [], "rows": epochs(1), "epochs": 1, "classes": 2},
        {"model": HOSTILE, "data": "\ud800", "written": HOSTILE},
    ],
)
def test_whole_and_closed(made):
    page = report_page(run(**made))
    outline = Outline(page)
    assert outline.open == []
    names = {(tag, name) for tag, name, _ in outline.attributes}
    assert not any(name == "style" or name.startswith("on") for _, name in names)
    links = [v for _, name, v in outline.attributes if name in ("src", "href")]
    assert all(link.startswith("data:") for link in links)
    assert "default-src 'none'" in page
    assert "unsafe" not in page.partition("<title>")[0]
    assert "\u202e" not in page
    page.encode()


def test_many_steps_are_smoothed_too():
    """The measured values stay; the line beside them is the mean of those around."""
    many = steps(240, 80)
    page = report_page(run(steps=many))
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
    raw, smooth, test = data["charts"]["loss"]["lines"]
    losses = [row.loss for row in many]
    np.testing.assert_allclose(raw["y"], losses, atol=1e-7)
    reach = [min(3, i, 239 - i) for i in range(240)]
    want = [np.mean(losses[i - r : i + r + 1]) for i, r in enumerate(reach)]
    np.testing.assert_allclose(smooth["y"], want, atol=1e-7)
    assert raw["x"] == smooth["x"] == [round(n / 20, 4) for n in range(1, 241)]
    assert [raw["name"], smooth["name"]] == ["train, as measured", "train, smoothed"]
    assert test["y"] == [row.test_loss for row in epochs()]


def test_the_commonest_mistake_may_have_equals():
    table = np.eye(3, dtype=np.float32)
    for said, want in (
        ([1, 1, 2, 2], "(2 times)"), ([1, 2, 0, 0], "(1 time, like 1 other pair)"),
    ):  # fmt: skip
        targets = np.array([0, 0, 2, 2]) if want == "(2 times)" else np.array([0, 0, 0, 0])
        seen = Predictions(np.zeros((4, 1, 4, 4), np.float32), table[said], targets)
        facts = run(3, seen=seen, images=seen.images, trained_on=1234)
        lead = re.search(r'<p class="lead">(.*?)</p>', report_page(facts))[1]
        assert lead.endswith(f"{want}.")
        assert lead.startswith("After 3 epochs on 1,234 images the network puts ")


def test_nearly_all_is_not_all():
    rows = [row._replace(test_accuracy=0.99998, train_accuracy=0.99999) for row in epochs(1)]
    page = report_page(run(rows=rows, epochs=1))
    assert "puts 99.99% of the test images" in page
    assert "99.99% right</title>" in page
    assert "1 of 1 epoch<" in page
    assert "100.00%" not in page


def test_an_accuracy_of_all_is_the_top_of_its_axis():
    rows = [row._replace(test_accuracy=1.0, train_accuracy=1.0) for row in epochs(1)]
    page = report_page(run(rows=rows, steps=[], wrong=0.0))
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
    assert data["charts"]["accuracy"]["y"] == [0.0, 100.0]


def test_size_of_digits():
    assert len(report_page(run(count=2000, shape=(3, 32, 32))).encode()) < 500_000


def test_sentence():
    page = report_page(run(stopped="It was stopped."))
    lead = re.search(r'<p class="lead">(.*?)</p>', page)[1]
    counts = run().counts
    wrong = int(counts.sum() - np.trace(counts))
    assert lead.startswith(
        "After 3 epochs of training the network puts 80.00% of the test images into the right one "
        "of 10 classes (with the weights of epoch 3, the best). "
        f"{wrong} of 400 are wrong; most often "
    )
    assert lead.endswith("It was stopped.")
    assert re.search(r"\(\d+ times?(, like \d+ other pairs?)?\)\. It was", unescape(lead))
    none = report_page(run(rows=[], seen=None, images=None, stopped="It can go on."))
    assert "The run ended before its first epoch was over. It can go on." in none
    right = report_page(run(wrong=0.0))
    assert "It makes no mistake on 400 images." in right
    assert "<h2>Its worst mistakes" not in right


# -- in a browser -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """(the facts, the file) of a run of few classes and of one of many."""
    folder = tmp_path_factory.mktemp("reports")
    made = {
        "few": run(),
        "many": run(MANY, 900, (3, 40, 30), warnings=["one", HOSTILE]),
        "stopped": run(rows=[], seen=None, images=None, steps=steps(7)),
    }
    for name, facts in made.items():
        (folder / f"{name}.html").write_text(report_page(facts), encoding="utf-8")
    return {name: (facts, folder / f"{name}.html") for name, facts in made.items()}


@pytest.fixture
def opened(driver, files):
    """Opens a report in a window so wide. Whatever is done: no complaint, no request."""
    seen = []

    def show(name, width=1200, scheme="light"):
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        requests(driver)
        address = files[name][1].as_uri()
        driver.get(address)
        settle(driver)
        seen.append(address)
        return driver

    yield show
    assert driver.get_log("browser") == []
    assert requests(driver) == seen[-1:]
    assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0


def cells(page, selector):
    """The texts of a table's body, a list a row."""
    script = """return [...document.querySelectorAll(arguments[0] + ' tbody tr')]
        .map((row) => [...row.cells].map((cell) => cell.textContent))"""
    return page.execute_script(script, selector)


def test_the_matrix_in_the_page(opened, files):
    facts, _ = files["few"]
    page = opened("few")
    found = cells(page, "#counts")
    table = counted(facts.seen, 10)
    assert [[0 if c == "·" else int(c) for c in row[1:]] for row in found] == table
    listed = cells(page, "#pairs")
    assert len(listed) == 12
    for truth, said, number, share in listed:
        i, j = ([name[:38] for name in facts.classes].index(each[:38]) for each in (truth, said))
        assert int(number) == table[i][j]
        assert share == f"{table[i][j] / sum(table[i]):.1%}"
    for i, (_, images, recall, answers, precision) in enumerate(cells(page, "#classes")):
        assert int(images) == sum(table[i])
        assert int(answers) == sum(row[i] for row in table)
        assert recall == f"{table[i][i] / sum(table[i]):.1%}"
        assert precision == f"{table[i][i] / sum(row[i] for row in table):.1%}"


def test_the_mistakes_in_the_page(opened, files):
    facts, _ = files["few"]
    page = opened("few")
    script = """return [...document.querySelectorAll('.mistakes li')].map((item) => [
        Number(item.dataset.index), item.querySelector('img').src,
        item.querySelector('img').naturalWidth,
        ...[...item.querySelectorAll('b')].map((each) => each.textContent)])"""
    found = page.execute_script(script)
    worst = worst_mistakes(facts.seen, 24)
    assert [each[0] for each in found] == [each.number for each in worst]
    for (_, src, width, said, truth), each in zip(found, worst, strict=True):
        assert width == 28
        assert base64.b64decode(src.partition(",")[2]) == drawn(facts.images[each.number]).png
        assert said[:45] == facts.classes[each.said].replace("\u202e", "\\u202e")[:45]
        assert truth[:45] == facts.classes[each.truth].replace("\u202e", "\\u202e")[:45]


def test_the_epochs_in_the_page(opened):
    page = opened("few")
    found = cells(page, "#curves table")
    assert [row[:5] for row in found] == [
        [str(row.epoch), f"{row.train_loss:.4f}", f"{row.train_accuracy:.2%}",
         f"{row.test_loss:.4f}", f"{row.test_accuracy:.2%}"]
        for row in epochs()
    ]  # fmt: skip
    best = page.execute_script("return document.querySelector('#curves .best th').textContent")
    assert best == "3"


def test_values_under_the_cursor(opened):
    """Arrow keys and a pointer read the points as they are."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    page = opened("few")
    plot = page.find_element("css selector", "[data-chart=loss] .plot")
    plot.send_keys(Keys.HOME)
    settle(page)

    def tip(name="loss"):
        return page.find_element("css selector", f"[data-chart={name}] .tip").text.splitlines()

    first, last = steps()[0], steps()[-1]
    assert tip()[:2] == ["epoch 0.05", f"train, as it learns: {float(f'{first.loss:.4g}'):g}"]
    plot.send_keys(Keys.END)
    settle(page)
    assert tip() == [
        "epoch 3", f"train, as it learns: {float(f'{last.loss:.4g}'):g}",
        f"test, after the epoch: {epochs()[-1].test_loss:.4g}",
    ]  # fmt: skip
    plot.send_keys(Keys.ARROW_LEFT)
    settle(page)
    assert tip()[0] == "epoch 2.95"
    assert tip()[2].endswith("(epoch 3)")
    plot.send_keys(Keys.ESCAPE)
    assert tip() == []
    chart = page.find_element("css selector", "[data-chart=accuracy] .plot")
    ActionChains(page).move_to_element(chart).perform()
    settle(page)
    said = tip("accuracy")
    at = float(said[0].split()[1])
    assert at == pytest.approx(1.4, abs=0.15)  # the middle, left of which the axis has its numbers
    step = steps()[round(at * 20) - 1]
    assert said[1] == f"train, as it learns: {float(f'{100 * step.accuracy:.4g}'):g}%"


def test_many_classes_are_read_from_a_picture(opened, files):
    from selenium.webdriver.common.keys import Keys

    facts, _ = files["many"]
    page = opened("many")
    assert cells(page, "#counts") == []
    matrix = page.find_element("css selector", ".matrix")
    size = page.execute_script("const i = document.querySelector('.matrix img');"
                               "return [i.naturalWidth, i.naturalHeight]")  # fmt: skip
    assert size == [MANY, MANY]
    matrix.send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    table = counted(facts.seen, MANY)
    name = facts.classes[2]
    right = f"{table[2][2]} image{'' if table[2][2] == 1 else 's'} of “{name}” told right"
    assert page.find_element("css selector", ".read").text == right
    wrong = pairs(facts.counts, 1)[0]
    page.execute_script(
        """const [x, y, n] = arguments;
        const img = document.querySelector('.matrix img').getBoundingClientRect();
        document.querySelector('.matrix').dispatchEvent(new PointerEvent('pointermove', {
            clientX: img.left + img.width * (x + 0.5) / n,
            clientY: img.top + img.height * (y + 0.5) / n }))""",
        wrong.said, wrong.truth, MANY,
    )  # fmt: skip
    said = page.find_element("css selector", ".read").text
    assert said.startswith(f"{wrong.times} image")
    assert facts.classes[wrong.truth][:20] in said
    recalls = [float(row[2].rstrip("%")) for row in cells(page, "#classes") if row[2] != "none"]
    assert len(cells(page, "#classes")) == MANY
    assert recalls == sorted(recalls)


@pytest.mark.parametrize("name", ["few", "many", "stopped"])
@pytest.mark.parametrize("width", [320, 390, 800, 1400])
def test_nothing_is_wider_than_the_screen(opened, name, width):
    page = opened(name, width, "dark" if width % 20 else "light")
    inner, outer = page.execute_script(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert inner <= outer
    assert page.execute_script("return window.innerWidth") <= max(width, outer)
    # Only what is meant to scroll has more inside than it shows.
    wide = page.execute_script(
        """return [...document.querySelectorAll('main *')].filter((e) =>
            !e.closest('.scroll') && !e.closest('svg') && e.getClientRects().length &&
            e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
            .map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert wide == []


CONTRAST = """
const numbers = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
const over = ([r, g, b, a = 1], below) => [r, g, b].map((c, i) => c * a + below[i] * (1 - a));
const ground = (element) => {
  const chain = [];
  for (let e = element; e; e = e.parentElement) chain.push(numbers(getComputedStyle(e).backgroundColor));
  return chain.reverse().reduce((below, colour) => over(colour, below), [255, 255, 255]);
};
const light = (rgb) => {
  const [r, g, b] = rgb.map((c) => { const s = c / 255; return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4; });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const bad = {};
for (const e of document.querySelectorAll('body *')) {
  const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!own || !e.getClientRects().length || ['SCRIPT', 'STYLE', 'TITLE'].includes(e.tagName)) continue;
  const style = getComputedStyle(e);
  const colour = e.closest('svg') ? style.fill : style.color;
  const below = ground(e.closest('svg') ? e.closest('svg').parentElement : e);
  const [a, b] = [light(over(numbers(colour), below)), light(below)];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) bad[`${e.tagName}.${e.getAttribute('class')}`] = ratio;
}
return bad;
"""  # noqa: E501


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(opened, scheme):
    """4.5 to 1 at least, on each shade of the matrix too (WCAG 2, AA)."""
    assert opened("few", 1200, scheme).execute_script(CONTRAST) == {}
    assert opened("many", 1200, scheme).execute_script(CONTRAST) == {}


def test_labels_of_charts_do_not_touch(opened):
    for width in (390, 1200):
        page = opened("few", width)
        touching = page.execute_script(
            """const bad = [];
            for (const plot of document.querySelectorAll('.plot')) {
              const area = plot.getBoundingClientRect();
              const all = [...plot.querySelectorAll('text')];
              const boxes = all.map((t) => t.getBoundingClientRect());
              boxes.forEach((a, i) => {
                if (a.left < area.left - 1 || a.right > area.right + 1) bad.push(all[i].textContent);
                boxes.slice(i + 1).forEach((b, j) => {
                  if (a.left < b.right && b.left < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom)
                    bad.push(`${all[i].textContent} over ${all[i + 1 + j].textContent}`);
                });
              });
            }
            return bad;"""  # noqa: E501
        )
        assert touching == [], width


def test_what_a_screen_reader_gets(opened):
    page = opened("few")
    levels = page.execute_script(
        "return [...document.querySelectorAll('h1,h2,h3')].map((h) => Number(h.tagName[1]))"
    )
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    unnamed = page.execute_script(
        """return [...document.querySelectorAll('[tabindex],img,[role=img]')]
            .filter((e) => !(e.getAttribute('aria-label') || e.getAttribute('alt')))
            .map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert unnamed == []
    captions = page.execute_script(
        "return [...document.querySelectorAll('table')].filter((t) => !t.caption).length"
    )
    assert captions == 0
    label = page.execute_script(
        "return document.querySelector('[data-chart=accuracy] .plot').getAttribute('aria-label')"
    )
    assert "test, after the epoch: from 40% to 80%." in label
