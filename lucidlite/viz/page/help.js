// The legend beside the drawing, and the help that `?` opens.
"use strict";

(() => {
  const { html, byId } = tape;

  const KEYS = [
    ["← →", "one step back, one step on"],
    ["Home End", "to the start, to the end of the pass"],
    ["Space", "play, pause"],
    ["b", "backward or forward pass"],
    ["↑ ↓", "to an input, to a consumer of what is selected"],
    ["Tab", "to the next control"],
    ["Enter", "details; on a module: fold or unfold"],
    ["Esc", "close, let go"],
    ["f", "fit the whole graph"],
    ["+ −", "zoom"],
    ["Shift+arrows", "move the view"],
    ["m", "fold the module around what is selected"],
    ["e c", "unfold or fold all modules"],
    ["t", "table of all nodes"],
    ["d", "light or dark"],
    ["/", "search"],
    ["?", "this help"],
  ];

  const WORDS = [
    [
      "What is drawn",
      "The tape of one run: every recorded operation is a card, data flow from the inputs at " +
        "the top to the output at the bottom. Parameters are the small pills beside the " +
        "operation that uses them. Boxes are modules: a click on their name folds them, a " +
        "double click on a folded one opens it.",
    ],
    [
      "Backward",
      "Backward goes up along the same lines. The engine always takes the youngest node that " +
        "waits, the one with the highest creation number: whatever used its output was made " +
        "later and has been visited, so its gradient is complete. A gradient that arrives where " +
        "one waits already is added to it.",
    ],
    [
      "Pictures",
      "A card shows its output, or its filters where the output wasn't kept; once the backward " +
        "pass has been there, its gradient: blue is below zero, red above.",
    ],
    [
      "Moving about",
      "Drag to move, wheel or pinch to zoom, shift and wheel to move sideways. A click on a " +
        "node opens its details.",
    ],
  ];

  function legend(model) {
    const present = new Set(model.nodes.map((node) => tape.family(node)));
    const kinds = tape.FAMILIES.filter(([key]) => present.has(key)).map(([key, name]) =>
      html("li", { class: `fam-${key}` }, html("i", { class: "swatch" }), name),
    );
    const signs = [
      ["pill", "parameter"],
      ["pill again", "used a second time"],
      ["current", "visited now"],
      ["waiting", "a gradient waits here"],
      ["visited", "visited"],
      ["lit", "gradient just sent"],
    ].map(([key, name]) => html("li", {}, html("i", { class: `sign ${key}` }), name));
    byId("legend-body").replaceChildren(html("ul", {}, ...kinds), html("ul", {}, ...signs));
  }

  function help(model) {
    const dialog = byId("help");
    const { version, device } = model.data;
    dialog.replaceChildren(
      html(
        "button",
        {
          type: "button",
          class: "icon close",
          "aria-label": "Close help",
          onclick: () => dialog.close(),
        },
        "×",
      ),
      html("h2", {}, "How to read this page"),
      ...WORDS.flatMap(([name, text]) => [html("h3", {}, name), html("p", {}, text)]),
      html("h3", {}, "Keys"),
      html(
        "dl",
        { class: "keys" },
        ...KEYS.flatMap(([keys, text]) => [
          html("dt", {}, ...keys.split(" ").flatMap((key) => [html("kbd", {}, key), " "])),
          html("dd", {}, text),
        ]),
      ),
      html(
        "p",
        { class: "fine" },
        `Made by lucidlite ${version} on ${device}. This file needs no server and no network.`,
      ),
    );
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
    return () => (dialog.open ? dialog.close() : dialog.showModal());
  }

  Object.assign(tape, { legend, help });
})();
