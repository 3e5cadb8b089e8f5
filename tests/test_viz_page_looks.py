"""How the page of ``viz.tape`` looks: light and dark, on a phone, any graph, a thousand nodes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_page import PROBLEMS, chromium, ids, requests, scale, settle, still

import lucidlite
from lucidlite import nn, viz
from lucidlite.nn import functional as F
from lucidlite.viz.page import build, framed

Show = Callable[[Any], Any]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def show(driver: Any, tmp_path: Path) -> Iterator[Show]:
    """Opens the page of a loss, or of data as they are; nothing may be complained or fetched."""
    file = tmp_path / "page.html"
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    still(driver)
    requests(driver)

    def opened(what: Any) -> Any:
        data = what if isinstance(what, dict) else viz.tape(what).data
        file.write_text(build(data), encoding="utf-8")
        driver.get(file.as_uri())
        settle(driver)
        return driver

    yield opened
    assert driver.get_log("browser") == []
    assert set(requests(driver)) == {file.as_uri()}


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    """The page's data for a training step of the documented CNN."""
    lucidlite.manual_seed(0)
    model = lucidlite.models.CNNWithGAP()
    loss = F.cross_entropy(model(lucidlite.rand(2, 3, 32, 32)), lucidlite.tensor([3, 1]))
    return viz.tape(loss).data


def shot(page: Any) -> Any:
    """The screenshot: an image whose pixels are (red, green, blue)."""
    image = pytest.importorskip("PIL.Image", reason="screenshots are read with Pillow")
    return image.open(io.BytesIO(page.get_screenshot_as_png())).convert("RGB")


def colour(page: Any, name: str) -> tuple[int, ...]:
    """A colour of the style as (red, green, blue)."""
    text = page.execute_script(
        "return getComputedStyle(document.documentElement).getPropertyValue(arguments[0])", name
    )
    digits = text.strip().removeprefix("#")
    return tuple(int(digits[i : i + 2], 16) for i in (0, 2, 4))


def places(image: Any, wanted: tuple[int, ...], box: tuple[int, int, int, int]) -> list[Any]:
    """Where in ``box`` (left, top, right, bottom) pixels have nearly the colour."""
    left, top, right, bottom = box
    found = image.load()
    return [
        (x, y)
        for x in range(max(0, left), min(right, image.width))
        for y in range(max(0, top), min(bottom, image.height))
        if all(abs(a - b) < 6 for a, b in zip(found[x, y], wanted, strict=True))
    ]


def rectangle(page: Any, selector: str) -> tuple[int, int, int, int]:
    rect = page.find_element("css selector", selector).rect
    left, top = int(rect["x"]), int(rect["y"])
    return left, top, left + int(rect["width"]), top + int(rect["height"])


def press(page: Any, *keys: str) -> None:
    stage = page.find_element("css selector", "#stage")
    for key in keys:
        stage.send_keys(key)
    settle(page)


def test_screenshot_shows_the_graph_and_the_lit_node(show: Show, data: dict[str, Any]):
    """Each card's stripe in the colour of its kind, and the frame where the step is."""
    page = show(data)
    press(page, "f")
    whole = rectangle(page, "#stage")
    plain = shot(page)
    kinds = {"conv2d": "conv", "relu": "act", "max_pool2d": "pool", "linear": "linear"}
    for node in data["nodes"]:
        if node["op"] in kinds:
            left, top, _, bottom = rectangle(page, f'#drawing [data-node="{node["id"]}"] .card')
            stripe = places(
                plain, colour(page, f"--{kinds[node['op']]}"), (left, top, left + 4, bottom)
            )
            assert len(stripe) > 15, node["op"]
    lit = colour(page, "--lit")
    assert places(plain, lit, whole) == []
    page.refresh()  # in its first view, near enough for whole pixels
    settle(page)
    for _ in range(6):
        press(page, "\ue014")  # right arrow
        left, top, right, bottom = rectangle(page, "#drawing [data-node].current")
        marks = places(shot(page), lit, (left - 4, top - 4, right + 4, bottom + 4))
        assert len(marks) > 60
        assert min(x for x, _ in marks) <= left + 4
        assert max(y for _, y in marks) >= bottom - 4


def test_light_and_dark(show: Show, data: dict[str, Any]):
    page = show(data)

    def prefer(name: str) -> None:
        media = [{"name": "prefers-color-scheme", "value": name}]
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        settle(page)

    def brightness() -> float:
        image = shot(page).convert("L").resize((1, 1))
        return float(image.getpixel((0, 0)))

    prefer("light")
    light = brightness()
    prefer("dark")
    dark = brightness()
    assert light > 200
    assert dark < 60
    page.find_element("css selector", "#theme").click()
    assert brightness() == pytest.approx(light, abs=3)
    press(page, "d")
    assert brightness() == pytest.approx(dark, abs=3)
    prefer("light")  # who has chosen is asked no more
    assert brightness() == pytest.approx(dark, abs=3)
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert brightness() == pytest.approx(light, abs=3)
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(show: Show, data: dict[str, Any], scheme: str):
    """Contrast of text and of what steps light, by WCAG 2's formula, in both themes."""
    page = show(data)
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    settle(page)

    def luminance(name: str) -> float:
        parts = [c / 255 for c in colour(page, name)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        a, b = sorted((luminance(one), luminance(other)))
        return (b + 0.05) / (a + 0.05)

    for ground in ("--card", "--raised", "--back", "--box-0", "--box-1", "--visited", "--lit-soft"):
        assert contrast("--ink", ground) > 7, ground
        assert contrast("--soft", ground) > 4.5, ground
    for ground in ("--card", "--raised", "--box-0", "--box-1"):
        assert contrast("--faint", ground) > 3.9, ground
    for mark in ("--lit", "--select", "--conv", "--act", "--pool", "--norm", "--linear", "--bad"):
        assert contrast(mark, "--card") > 3, mark


@pytest.mark.parametrize("width", [360, 412])
def test_phone(show: Show, data: dict[str, Any], width: int):
    page = show(data)
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 740, "deviceScaleFactor": 2, "mobile": True},
    )
    page.refresh()
    settle(page)
    assert page.execute_script("return document.documentElement.scrollWidth") == width
    for control in page.find_elements("css selector", ".top button, .top input, .steps button"):
        if control.is_displayed():
            left, right = control.rect["x"], control.rect["x"] + control.rect["width"]
            assert 0 <= left < right <= width, control.get_attribute("id")
            assert control.rect["height"] >= 22
    conv = next(node["id"] for node in data["nodes"] if node["op"] == "conv2d")
    page.execute_script(f"tape.page.select('n{conv}', true)")
    settle(page)
    panel = page.find_element("css selector", "#panel").rect
    assert panel["width"] == width
    assert panel["y"] > 740 * 0.25
    card = page.find_element("css selector", f'#drawing [data-node="{conv}"] .card').rect
    assert card["y"] + card["height"] <= panel["y"] + 1  # the sheet doesn't hide what it tells of


def test_fingers(show: Show, data: dict[str, Any]):
    """One drags, two zoom about the middle between them."""
    page = show(data)
    k, before_x, before_y = scale(page)
    box = page.find_element("css selector", "#stage").rect
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def touch(kind: str, *points: tuple[float, float]) -> None:
        touches = [{"x": px, "y": py, "id": i} for i, (px, py) in enumerate(points)]
        page.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    touch("touchStart", (x, y))
    for moved in (20, 40, 60, 80):
        touch("touchMove", (x + moved, y - moved))
    touch("touchEnd")
    settle(page)
    assert scale(page) == pytest.approx((k, before_x + 80, before_y - 80), abs=2)
    touch("touchStart", (x, y - 40), (x, y + 40))
    for apart in (50, 60, 70, 80):
        touch("touchMove", (x, y - apart), (x, y + apart))
    touch("touchEnd")
    settle(page)
    now, new_x, new_y = scale(page)
    assert now == pytest.approx(2 * k, rel=0.1)
    middle = box["y"] and (y - box["y"] - (before_y - 80)) / k
    assert (y - box["y"] - new_y) / now == pytest.approx(middle, abs=12)
    assert (x - box["x"] - new_x) / now == pytest.approx((x - before_x - 80) / k, abs=12)


class Shared(nn.Module):
    """One activation and one weight used again and again, and long and short ways round."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.mix = nn.ReLU(), nn.Linear(8, 8)
        self.deep = nn.Sequential(*[nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(4)])

    def forward(self, x: Any) -> Any:
        y = self.relu(self.mix(x))
        z = self.relu(self.deep(y) + self.mix(y))
        return lucidlite.cat([self.mix(z), y, x * z, self.deep[0](x)], 1)


def shared() -> dict[str, Any]:
    model = Shared()
    return viz.tape(model(lucidlite.rand(2, 8)).sum()).data


def resnet() -> dict[str, Any]:
    model = lucidlite.models.ResNet8()
    loss = F.cross_entropy(model(lucidlite.rand(2, 3, 32, 32)), lucidlite.tensor([1, 2]))
    return viz.tape(loss).data


def lstm() -> dict[str, Any]:
    model = nn.LSTM(4, 5)
    return viz.tape(model(lucidlite.rand(7, 2, 4))[0].mean()).data


def attention() -> dict[str, Any]:
    model, x = nn.TransformerEncoderLayer(8, 2, 16), lucidlite.rand(2, 5, 8)
    return viz.tape(model(x).sum()).data


def leaf() -> dict[str, Any]:
    return viz.tape(lucidlite.tensor([2.0], requires_grad=True).sum()).data


@pytest.mark.parametrize("make", [shared, resnet, lstm, attention, leaf])
def test_nothing_overlaps(show: Show, make: Callable[[], dict[str, Any]]):
    """No two cards, no line through a card, every card inside of its module's box."""
    page = show(make())
    for folded in ("false", "true", "false"):
        page.execute_script(f"tape.page.foldAll({folded})")
        assert page.execute_script(PROBLEMS + "return problems(tape.page.drawing.scene)") == []


# Graphs of any shape: modules nested at random, inputs from anywhere before.
RANDOM = """
let seed = arguments[0];
const random = (n) => { seed = (seed * 1103515245 + 12345) % 2147483648; return Math.floor(seed / 65536) % n; };
const modules = [{ id: 0, path: "", kind: "Net", brief: "Net", parent: null, call: 1, calls: 1 }];
for (let i = 1; i < 9; i += 1) {
  modules.push({ id: i, path: `m${i}`, kind: "M", brief: "M()", parent: random(i), call: 1, calls: 1 });
}
const count = 5 + random(60);
const made = [];
let module = 0;
for (let i = 0; i < count; i += 1) {
  if (random(3) === 0) module = random(9);
  const inputs = [];
  for (let k = random(3) + (i ? 1 : 0); k > 0; k -= 1) inputs.push(random(4) ? Math.max(0, i - 1 - random(3)) : random(i || 1));
  made.push({ number: i, inputs: i ? inputs : [], module: random(12) ? module : null, kind: random(7) || !i ? "op" : "leaf" });
  if (made[i].kind === "leaf") made[i].inputs = [];
}
const nodes = made.reverse().map((each, index) => ({
  ...each, id: index, name: "X", op: "op", label: random(2) ? "w" : "input (2)", outputs: [{ shape: [2], dtype: "f" }],
  inputs: each.inputs.map((k) => ({ node: random(9) ? count - 1 - k : null, output: 0 })), saved: [], saved_bytes: 0, images: [],
  gradient: null, site: null, forward_ms: null, backward_ms: null,
}));
const model = new tape.Model({ title: "", nodes, modules, images: [], steps: [], totals: {} });
const { root, units } = tape.tree(model);
const groups = tape.groupsOf(root);
const bad = [];
for (const folded of [new Set(), new Set(groups.filter(() => random(2))), new Set(groups)]) {
  const scene = tape.build(root, tape.shownEdges(model, units, folded), folded, tape.size);
  bad.push(...problems(scene));
}
return bad;
"""  # noqa: E501


def test_nothing_overlaps_in_random_graphs(show: Show, data: dict[str, Any]):
    page = show(data)
    found = {seed: page.execute_script(PROBLEMS + RANDOM, seed) for seed in range(150)}
    assert {seed: bad[:3] for seed, bad in found.items() if bad} == {}


def chain(length: int) -> Any:
    x = lucidlite.rand(4, requires_grad=True)
    h = x
    for i in range(length):
        h = (h * 1.01 + x).tanh() if i % 40 == 0 else (h * 1.01).tanh()
    return h.sum()


def test_a_thousand_nodes_move_with_little_work(show: Show):
    """What is drawn stays small wherever one looks, and moving about changes one attribute."""
    page = show(chain(500))
    nodes = page.execute_script("return tape.page.model.nodes.length")
    assert nodes > 1000
    counts = page.execute_async_script("""
      const done = arguments[0];
      const { view, drawing } = tape.page;
      const frame = () => new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
      (async () => {
        const counts = [];
        for (let i = 0; i < 30; i += 1) { view.y -= 3000; view.apply(); await frame(); counts.push(drawing.count()); }
        for (let i = 0; i < 24; i += 1) { view.zoom(0.75); await frame(); counts.push(drawing.count()); }
        for (let i = 0; i < 24; i += 1) { view.zoom(1.4); await frame(); counts.push(drawing.count()); }
        done(counts);
      })();
    """)  # noqa: E501
    assert max(counts) < 900
    assert min(counts) > 5
    changed = page.execute_async_script("""
      const done = arguments[0];
      const { view, drawing } = tape.page;
      view.go(view.x, view.y, 0.8, false);
      const frame = () => new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
      (async () => {
        await frame();
        drawing.cull();
        const seen = [];
        const watcher = new MutationObserver((records) => seen.push(...records.map((r) => `${r.type} ${r.attributeName}`)));
        watcher.observe(drawing.root, { attributes: true, childList: true, subtree: true });
        for (let i = 0; i < 20; i += 1) { view.y += i % 2 ? 9 : -9; view.apply(); await frame(); }
        await frame();
        done(seen);
      })();
    """)  # noqa: E501
    assert changed == ["attributes transform"] * 20
    press(page, "\ue010")  # End: the walk's last node
    assert len(ids(page, "#drawing [data-node].current")) == 1


def test_a_thousand_lines_in_sight(show: Show):
    """One path for all, and elements for those that carry a gradient just now."""
    x = lucidlite.rand(4, requires_grad=True)
    page = show(lucidlite.stack([(x * 0.5).tanh() for _ in range(700)]).sum())
    assert page.execute_script("return tape.page.drawing.inSight.length") > 1000
    assert page.execute_script("return tape.page.drawing.count()") < 900
    assert len(page.find_elements("css selector", "#drawing .edges .edge")) == 0
    press(page, *["\ue014"] * 3)  # sum, stack, and a tanh of seven hundred
    assert len(page.find_elements("css selector", "#drawing .edges .edge.lit")) == 1


def test_rows_are_made_as_one_scrolls(show: Show):
    page = show(chain(300))
    press(page, "t")
    nodes = page.execute_script("return tape.page.model.nodes.map((node) => node.id)")
    rows = "return [...document.querySelectorAll('[data-row]')].map((e) => Number(e.dataset.row))"
    first = page.execute_script(rows)
    assert first == nodes[: len(first)]
    assert len(first) < len(nodes) / 2
    for _ in range(len(nodes)):
        page.execute_script("document.querySelector('.scroll').scrollTop = 1e9")
        settle(page)
        if len(page.execute_script(rows)) == len(nodes):
            break
    assert page.execute_script(rows) == nodes


def test_a_layer_called_input_is_none(show: Show):
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.input = nn.Linear(2, 3)

        def forward(self, x: Any) -> Any:
            return self.input(x).tanh().sum()

    model = Net()
    page = show(model(lucidlite.ones(1, 2)))
    pills = [pill.text for pill in page.find_elements("css selector", "#drawing .pill")]
    assert pills == ["weight3\u00d72", "bias3"]
    assert len(page.find_elements("css selector", "#drawing .unit")) == 3
    page = show(model(lucidlite.ones(1, 2, requires_grad=True)))
    assert len(page.find_elements("css selector", "#drawing .unit")) == 4
    page.find_element("css selector", "#search").send_keys("input (1,")
    found = page.find_elements("css selector", "#found li span")
    assert [each.text for each in found] == ["input"]


def test_which_output_is_an_input(show: Show):
    x = lucidlite.rand(6, requires_grad=True)
    first, second, third = x.split(2)
    page = show((first * third + second).sum())
    page.execute_script("tape.page.select('n2', true)")
    assert page.find_element("css selector", "#panel h2").text == "mul"
    links = [each.text.split("\n") for each in page.find_elements("css selector", "#panel .link")]
    assert [link[-1].split("split")[-1].strip() for link in links[:2]] == ["output 0", "output 2"]


def test_what_is_brought_into_sight_stands_in_the_middle(show: Show):
    """Of what the panel that opens with it leaves of the window."""
    page = show(
        lucidlite.stack([lucidlite.rand(2, requires_grad=True).tanh() for _ in range(30)]).sum()
    )
    page.execute_script("tape.page.view.go(0, 0, 1, false)")
    settle(page)
    page.execute_script("tape.page.select('n9', true)")
    settle(page)
    left, _, right, _ = rectangle(page, "#stage")
    card = rectangle(page, "#drawing .selected .card")
    assert (card[0] + card[2]) / 2 == pytest.approx((left + right) / 2, abs=2)
    assert page.find_element("css selector", "#panel").is_displayed()


def test_big_graphs_start_folded(show: Show):
    model = nn.Sequential(*[little() for _ in range(40)])
    page = show(model(lucidlite.rand(2, 8)).sum())
    shown = page.execute_script("return tape.page.drawing.scene.items.length")
    assert page.execute_script("return tape.page.model.nodes.length") > 300
    assert 6 < shown < 100
    press(page, "e")
    assert page.execute_script("return tape.page.drawing.scene.items.length") > 120


def little() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Sequential(nn.Linear(8, 8), nn.ReLU()))


def test_text_of_a_program_stays_text(show: Show, data: dict[str, Any]):
    """Names and source lines come from a user's program: none becomes markup or script."""
    evil = '</script><img src=x onerror="window.hacked = 1"><b>&amp;\u2028${1}'
    changed = json.loads(json.dumps(data))
    changed["title"] = evil
    for module in changed["modules"]:
        module.update(path=evil + str(module["id"]), kind=evil, brief=evil)
    for node in changed["nodes"]:
        node.update(label=evil, name=evil, op=evil if node["kind"] == "op" else "leaf")
        node["site"] = {"file": evil, "line": 1, "function": evil, "text": evil}
        for saved in node["saved"]:
            saved.update(what=evil, dtype=evil)
    for image in changed["images"]:
        image["caption"] = evil
    page = show(changed)
    press(page, *["\ue014"] * 4)
    for node in changed["nodes"][:8]:
        page.execute_script(f"tape.page.select('n{node['id']}', true)")
    page.execute_script("tape.page.select('g0', true); tape.page.select('n0', true)")
    press(page, "t")
    page.find_element("css selector", "#help-button").click()
    page.find_element("css selector", "#help .close").click()
    assert page.title.startswith("</script><img")
    assert page.find_element("css selector", "#panel h2").text.startswith("</script><img")
    assert page.execute_script("return window.hacked") is None
    assert page.find_elements("css selector", "img[onerror], main b, .steps b b") == []


def test_policy_keeps_scripts_and_requests_out(driver: Any, show: Show, data: dict[str, Any]):
    page = show(data)
    page.execute_script("""
      const script = document.createElement("script");
      script.textContent = "window.ran = 1";
      document.body.append(script);
      new Image().src = "http://127.0.0.1:9/x.png";
    """)
    assert page.execute_script("return window.ran") is None
    refused = [entry["message"] for entry in driver.get_log("browser")]
    assert len(refused) == 2
    assert all("Content Security Policy" in message for message in refused)
    requests(driver)  # the one that was refused
    page.refresh()
    settle(page)


def test_gradients_that_are_not_numbers_are_loud(show: Show):
    x = lucidlite.tensor([0.0, 1.0], requires_grad=True)
    page = show((x.sqrt() * 0.0).sum())  # 0 / 0 at zero
    alert = page.find_element("css selector", "#totals .alert")
    assert alert.text == "NaN or infinity in 1 gradient"
    alert.click()
    settle(page)
    assert "1 NaN in its gradient" in page.find_element("css selector", "#panel .alarm").text
    assert len(page.find_elements("css selector", "#drawing .broken .badge")) == 1


def test_inside_of_a_notebook(driver: Any, data: dict[str, Any], tmp_path: Path):
    """In a frame that may run scripts and nothing else; the wheel scrolls past it until a click."""
    still(driver)
    requests(driver)
    file = tmp_path / "notebook.html"
    file.write_text(f"<!doctype html><body>{framed(build(data), 600)}", encoding="utf-8")
    driver.get(file.as_uri())
    driver.switch_to.frame(0)
    try:
        settle(driver)
        assert len(ids(driver, "#drawing [data-node]")) > 5
        start = scale(driver)
        wheel = (
            "const where = { clientX: 300, clientY: 200, bubbles: true, cancelable: true };"
            "const event = new WheelEvent('wheel', { deltaY: -200, ...where });"
            "return document.querySelector('#stage').dispatchEvent(event);"
        )
        assert driver.execute_script(wheel) is True  # left to the page around it
        settle(driver)
        assert scale(driver) == start
        press(driver, "?")
        driver.find_element("css selector", "#help .close").click()
        assert driver.execute_script(wheel) is False
        settle(driver)
        assert scale(driver)[0] > start[0]
        press(driver, "\ue014")
        for _ in range(200):  # the view glides here: what a frame inherits has no say in motion
            if current := ids(driver, "#drawing [data-node].current"):
                break
            settle(driver)
        assert current == [0]
    finally:
        driver.switch_to.default_content()
    assert driver.get_log("browser") == []
    assert {url for url in requests(driver) if url != "about:srcdoc"} == {file.as_uri()}
