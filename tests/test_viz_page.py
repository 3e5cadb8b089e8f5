"""The page of ``viz.tape`` in a real browser: what it shows is what the engine did."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_page import chromium, ids, requests, scale, settle, still

import lucidlite
from lucidlite import viz
from lucidlite.nn import functional as F


class Run:
    """A training step of the documented CNN: its page, its data, and the engine's own walk."""

    def __init__(self, folder: Path) -> None:
        lucidlite.manual_seed(0)
        self.model = lucidlite.models.CNNWithGAP()
        rows = lucidlite.arange(32).reshape(1, 1, 32, 1) / 32
        x = lucidlite.rand(4, 3, 32, 32) * 0.5 + rows
        self.loss = F.cross_entropy(self.model(x), lucidlite.tensor([3, 1, 4, 1]))
        self.tape = viz.tape(self.loss, folder / "run.html", title="A run <of> & three")
        self.file = folder / "run.html"
        self.nodes = self.tape.data["nodes"]
        self.walk = list(self.loss.backward_steps(retain_graph=True))

    def find(self, op: str) -> dict[str, Any]:
        return next(node for node in self.nodes if node["op"] == op)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def page(driver: Any, run: Run) -> Iterator[Any]:
    """The page, opened anew. Whatever a test does: no complaint on the console, no request."""
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    still(driver)
    requests(driver)
    driver.get(run.file.as_uri())
    settle(driver)
    yield driver
    assert driver.get_log("browser") == []
    assert requests(driver) == [run.file.as_uri()]
    assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0


def element(page: Any, selector: str) -> Any:
    return page.find_element("css selector", selector)


def press(page: Any, *keys: str) -> None:
    """Keys, one after another, heard by the graph."""
    stage = element(page, "#stage")
    for key in keys:
        stage.send_keys(key)
    settle(page)


def key(name: str) -> str:
    from selenium.webdriver.common.keys import Keys

    return str(getattr(Keys, name))


def click(page: Any, selector: str) -> None:
    element(page, selector).click()
    settle(page)


def card(node: dict[str, Any]) -> str:
    return f'#drawing [data-node="{node["id"]}"]'


def value(page: Any, name: str) -> str:
    return str(element(page, f'#panel [data-value="{name}"]').text)


def number(text: str) -> float:
    return float(text.replace("\N{MINUS SIGN}", "-"))


def pixels(page: Any) -> Any:
    """The screenshot, as rows of (red, green, blue)."""
    image = pytest.importorskip("PIL.Image", reason="screenshots are read with Pillow")
    return image.open(io.BytesIO(page.get_screenshot_as_png())).convert("RGB")


def test_one_small_file(run: Run):
    text = run.file.read_text(encoding="utf-8")
    assert len(text.encode()) < 5_000_000
    assert "default-src 'none'" in text
    assert "unsafe" not in text.partition("<title>")[0]
    for loading in ('src="http', 'href="http', "@import", "url(h", "fetch(", "XMLHttpRequest"):
        assert loading not in text


def test_every_node_is_drawn(page: Any, run: Run):
    press(page, "f")
    assert ids(page, "#drawing [data-node]") == list(range(run.tape.data["totals"]["nodes"]))
    assert len(ids(page, "#drawing .pill")) == run.tape.data["totals"]["leaves"] == 8
    drawn = page.execute_script("return tape.page.drawing.scene.edges.map((e) => e.pairs).flat()")
    ops = [node for node in run.nodes if node["kind"] == "op"]
    assert sorted(map(tuple, drawn)) == sorted(
        (node["id"], each["node"])
        for node in ops
        for each in node["inputs"]
        if each["node"] is not None and run.nodes[each["node"]]["kind"] == "op"
    )
    assert element(page, "#title").text == page.title == "A run <of> & three"
    assert (
        f"{run.tape.data['totals']['kept_bytes'] / 2**20:.2f} MiB kept"
        in element(page, "#totals").text
    )


def test_steps_are_the_engines(page: Any, run: Run):
    """The nodes taken, the edges that carry gradients and who waits, against a walk of its own."""
    number_of = {node["id"]: node["number"] for node in run.nodes}
    press(page, "f")
    assert element(page, "#position").text == f"0 / {len(run.walk)}"
    seen = []
    for step in run.walk:
        click(page, "#next")
        (now,) = ids(page, "#drawing [data-node].current")
        assert number_of[now] == step.node.number
        taken = element(page, "#why .chip.taken")
        assert taken.text.split()[0] == str(step.node.number)
        waiting = ids(page, "#drawing [data-node].waiting")
        assert {number_of[each] for each in waiting} == {n.number for n in step.pending}
        assert ids(page, "#drawing [data-node].visited") == sorted(seen)
        lit = page.execute_script(
            "return [[...document.querySelectorAll('.edge.lit')].map((e) => e.dataset.edge),"
            "[...document.querySelectorAll('.wire.lit')].map((e) => Number(e.dataset.wire))]"
        )
        sent = [
            edge[0].number
            for edge, grad in zip(step.node.edges, step.outgoing, strict=True)
            if edge is not None and grad is not None
        ]
        upper = [int(name.partition(">")[0][1:]) for name in lit[0]]
        assert sorted(number_of[each] for each in upper + lit[1]) == sorted(sent)
        seen.append(now)
    assert element(page, "#next").get_attribute("aria-disabled") == "true"


def test_why_this_one(page: Any, run: Run):
    """After `linear`, three nodes wait and the one made last is taken."""
    press(page, *[key("ARROW_RIGHT")] * 3)
    waiting = sorted((n.number for n in (*run.walk[1].pending,)), reverse=True)
    chips = [chip.text.split()[0] for chip in page.find_elements("css selector", "#why .chip")]
    assert chips == list(map(str, waiting))
    assert len(chips) == 3
    assert element(page, "#why p").text.startswith(
        f"Why this one? Of 3 that wait, {waiting[0]} is the youngest"
    )
    assert "classifier.bias.grad" in element(page, "#why .sent").text


def test_forward_goes_in_the_order_of_creation(page: Any, run: Run):
    click(page, "#pass-forward")
    made = sorted(node["number"] for node in run.nodes if node["kind"] == "op")
    for count in made:
        press(page, key("ARROW_RIGHT"))
        assert element(page, "#why .chip.taken").text.split()[0] == str(count)
    assert element(page, "#position").text == f"{len(made)} / {len(made)}"
    press(page, key("HOME"))
    assert ids(page, "#drawing .current") == []


def test_slider_and_play(page: Any, run: Run):
    slider = element(page, "#slider")
    slider.send_keys(key("END"))
    assert element(page, "#position").text == f"{len(run.walk)} / {len(run.walk)}"
    slider.send_keys(key("ARROW_LEFT"))
    (now,) = ids(page, "#drawing [data-node].current")
    assert run.nodes[now]["number"] == run.walk[-2].node.number
    click(page, "#play")
    page.execute_async_script(
        "const done = arguments[0]; const look = () => tape.page.steps.timer === null"
        " ? done() : setTimeout(look, 20); look()"
    )
    assert element(page, "#position").text.startswith(f"{len(run.walk)} ")


@pytest.mark.parametrize("op", ["conv2d", "max_pool2d", "linear", "cross_entropy"])
def test_click_opens_the_details(page: Any, run: Run, op: str):
    node = run.find(op)
    press(page, "f")
    click(page, card(node))
    assert value(page, "name") == op
    assert value(page, "torch") == node["name"]
    sizes = node["outputs"][0]["shape"]
    assert value(page, "shape") == (" \u00d7 ".join(map(str, sizes)) or "scalar")
    assert "float32" in element(page, "#panel").text
    grad = node["gradient"]
    assert number(value(page, "norm")) == pytest.approx(grad["norm"], rel=1e-2)
    low, high = value(page, "range").split(" … ")
    assert number(low) == pytest.approx(grad["min"], rel=1e-2)
    assert number(high) == pytest.approx(grad["max"], rel=1e-2)
    site = value(page, "site")
    assert site == f"{node['site']['file']}:{node['site']['line']}"
    assert Path(node["site"]["file"]).name == Path(__file__).name
    if node["module"] is not None:
        module = run.tape.data["modules"][node["module"]]
        assert value(page, "module") == module["path"]
        assert module["brief"] in element(page, "#panel header").text
    if node["saved"]:
        amount, unit = value(page, "saved").split()
        factor = {"B": 1, "KiB": 2**10, "MiB": 2**20}[unit]
        assert float(amount) * factor == pytest.approx(node["saved_bytes"], rel=1e-2)
    heights = page.execute_script(
        "return [...document.querySelectorAll('.bar .fill')].map((e) => Number(e.getAttribute('height')))"  # noqa: E501
    )
    assert [height > 0 for height in heights] == [n > 0 for n in grad["histogram"]["counts"]]


def test_links_lead_from_node_to_node(page: Any, run: Run):
    press(page, key("ARROW_UP"))  # the output first
    walked = [run.nodes[0]["op"]]
    for _ in range(3):
        assert value(page, "name") == walked[-1]
        press(page, key("ARROW_UP"))
        walked.append(value(page, "name"))
    assert walked == ["cross_entropy", "linear", "view", "mean"]
    press(page, key("ARROW_DOWN"))
    assert value(page, "name") == "view"
    click(page, f'#panel [data-go="{run.find("linear")["id"]}"]')
    assert value(page, "name") == "linear"
    press(page, key("ESCAPE"))
    assert not element(page, "#panel").is_displayed()


def test_parameters_are_pills_beside_their_operation(page: Any, run: Run):
    conv = run.find("conv2d")
    weight = run.nodes[conv["inputs"][1]["node"]]
    press(page, "f")
    assert element(page, card(conv)).location["x"] < element(page, card(weight)).location["x"]
    click(page, card(weight))
    assert value(page, "name") == weight["label"]
    assert "AccumulateGrad" in value(page, "torch")


def test_modules_fold_and_unfold(page: Any, run: Run):
    press(page, "f")
    before = ids(page, "#drawing [data-node]")
    click(page, '[data-group="g1"] [data-fold]')  # features: nine layers
    folded = element(page, ".folded")
    assert folded.get_attribute("aria-expanded") == "false"
    assert "features" in folded.text
    inside = {
        node["id"]
        for node in run.nodes
        if node["module"] is not None
        and run.tape.data["modules"][node["module"]]["path"].startswith("features.")
    }
    assert ids(page, "#drawing [data-node]") == sorted(set(before) - inside)
    folded.click()
    settle(page)
    assert value(page, "name") == "features"
    assert value(page, "operations") == "9"
    press(page, key("ENTER"))
    assert ids(page, "#drawing [data-node]") == before
    press(page, "c")
    assert ids(page, "#drawing [data-node]") == [0]  # the loss stands outside of the model
    press(page, *[key("ARROW_RIGHT")] * 5)
    assert len(page.find_elements("css selector", ".folded.current")) == 1
    press(page, "e", "f")
    assert ids(page, "#drawing [data-node]") == before


def test_modules_by_keyboard(page: Any, run: Run):
    """``m`` folds what is around the selection; arrows then pass the module as one thing."""
    press(page, key("ARROW_DOWN"))  # the first operation
    assert value(page, "name") == "conv2d"
    press(page, "m")
    assert value(page, "name") == "features"
    assert element(page, ".folded.selected").get_attribute("aria-expanded") == "false"
    press(page, key("ARROW_DOWN"))
    assert value(page, "name") == "mean"
    press(page, key("ARROW_UP"))
    assert value(page, "name") == "features"
    active = element(page, "#stage").get_attribute("aria-activedescendant")
    assert element(page, f"#{active}").get_attribute("data-group") == "g1"
    press(page, key("ENTER"), key("ESCAPE"), "f")
    assert ids(page, "#drawing [data-node]") == list(range(len(run.nodes)))


def test_every_control_is_reached_by_tab(page: Any):
    """In order, each with a name, and with an outline that is seen."""
    seen = []
    page.execute_script("document.body.focus()")
    for _ in range(40):
        page.switch_to.active_element.send_keys(key("TAB"))
        now = page.switch_to.active_element
        if now.tag_name == "body" or now in seen:
            break
        seen.append(now)
        name = now.accessible_name
        assert name, now.get_attribute("outerHTML")[:80]
        assert now.value_of_css_property("outline-style") == "solid", name
    reached = {each.get_attribute("id") for each in seen}
    controls = {
        each.get_attribute("id")
        for each in page.find_elements("css selector", "button, input, select, #stage")
        if each.is_displayed() and each.get_attribute("tabindex") != "-1"
    }
    assert controls <= reached


def test_zoom_and_pan(page: Any):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    stage = element(page, "#stage")
    start = scale(page)
    ActionChains(page).scroll_from_origin(ScrollOrigin.from_element(stage), 0, -240).perform()
    settle(page)
    near = scale(page)
    assert near[0] > start[0] * 1.2
    ActionChains(page).drag_and_drop_by_offset(stage, 60, -45).perform()
    settle(page)
    moved = scale(page)
    assert moved == pytest.approx((near[0], near[1] + 60, near[2] - 45), abs=1.5)
    assert not element(page, "#panel").is_displayed()  # a drag is no click
    click(page, "#zoom-out")
    assert scale(page)[0] == pytest.approx(moved[0] / 1.3)
    press(page, "+")
    assert scale(page)[0] == pytest.approx(moved[0])
    press(page, "f")
    k, x, y = scale(page)
    width, height, w, h = page.execute_script(
        "const { scene } = tape.page.drawing; const s = document.getElementById('stage');"
        "return [scene.width, scene.height, s.clientWidth, s.clientHeight]"
    )
    assert 0 <= x <= x + width * k <= w
    assert 0 <= y <= y + height * k <= h


def test_search(page: Any):
    press(page, "/")
    box = element(page, "#search")
    assert page.switch_to.active_element == box
    box.send_keys("classifier lin")
    found = [row.text for row in page.find_elements("css selector", "#found li")]
    assert any("linear" in row for row in found)
    box.send_keys(key("ENTER"))
    settle(page)
    assert value(page, "name") == "linear"
    box.clear()
    box.send_keys("features.3 weight")
    click(page, "#found li:first-child")
    assert value(page, "name") == "features.3.weight"
    box.clear()
    box.send_keys("nothing of this kind")
    assert element(page, "#found").text == "Nothing found"
    box.send_keys(key("ESCAPE"))
    assert page.switch_to.active_element == element(page, "#stage")


def test_table_sorts(page: Any, run: Run):
    press(page, "t")
    rows = page.find_elements("css selector", "#table tbody tr")
    assert len(rows) == len(run.nodes)
    for column, of in (
        ("saved_bytes", lambda node: node["saved_bytes"]),
        ("backward_ms", lambda node: node["backward_ms"]),
        ("norm", lambda node: node["gradient"]["norm"]),
    ):
        click(page, f'[data-sort="{column}"]')
        shown = page.execute_script(
            "return [...document.querySelectorAll('[data-row]')].map((e) => Number(e.dataset.row))"
        )
        values = [of(run.nodes[each]) for each in shown]
        assert values == sorted(values, reverse=True)
    click(page, "#table tbody tr:nth-child(2) .link")
    assert element(page, "#panel").is_displayed()
    press_button = element(page, "#table-button")
    press_button.click()
    assert element(page, "#drawing").is_displayed()


@pytest.mark.parametrize(
    ("op", "titles"),
    [
        ("max_pool2d", {"windows", "gradient"}),
        ("relu", {"output", "gradient"}),
        ("leaf", {"weight"}),
    ],
)
def test_images(page: Any, run: Run, op: str, titles: set[str]):
    """Whole, at least as large as their pixels, and not of one colour."""
    node = next(
        n for n in run.nodes if n["op"] == op and titles <= {i["title"] for i in n["images"]}
    )
    page.execute_script(f"tape.page.select('n{node['id']}', true)")
    settle(page)
    images = page.execute_script("""
      return Promise.all([...document.querySelectorAll("#panel img")].map(async (img) => {
        await img.decode();
        const canvas = document.createElement("canvas");
        canvas.width = img.naturalWidth; canvas.height = img.naturalHeight;
        const context = canvas.getContext("2d");
        context.drawImage(img, 0, 0);
        const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
        const colours = new Set();
        for (let i = 0; i < data.length; i += 4) colours.add(data.slice(i, i + 4).join());
        return { title: img.parentElement.querySelector(".name").textContent, colours: colours.size,
                 natural: img.naturalWidth, shown: img.clientWidth, id: Number(img.dataset.image) };
      }))
    """)
    assert titles <= {image["title"] for image in images}
    for image in images:
        entry = next(i for i in run.tape.data["images"] if i["id"] == image["id"])
        assert image["natural"] == entry["width"] > 0
        assert image["shown"] >= min(entry["width"], 320)
        assert image["colours"] > 4
    captions = element(page, "#panel").text
    assert all(
        image["caption"] in captions
        for image in run.tape.data["images"]
        if image["id"] in {each["image"] for each in node["images"]}
    )
