// All nodes as a table that sorts by any column. Rows are made as one scrolls to them.
"use strict";

(() => {
  const { html, byId, bytes, time, number, percent } = tape;
  const AT_ONCE = 150;

  const COLUMNS = [
    ["number", "No.", (node) => node.number, String, true],
    ["op", "Operation", (node, model) => model.name(node), String, false],
    ["module", "Module", (node, model) => model.where(node), String, false],
    [
      "shape",
      "Output",
      (node) => node.outputs.reduce((sum, out) => sum + out.shape.reduce((a, b) => a * b, 1), 0),
      (value, node) => (node.outputs.length ? tape.shape(node.outputs[0].shape) : "–"),
      true,
    ],
    ["forward_ms", "Forward", (node) => node.forward_ms, time, true],
    ["backward_ms", "Backward", (node) => node.backward_ms, time, true],
    [
      "saved_bytes",
      "Kept",
      (node) => node.saved_bytes,
      (value) => (value ? bytes(value) : "–"),
      true,
    ],
    ["norm", "Gradient norm", (node) => (node.gradient ? node.gradient.norm : null), number, true],
    ["zeros", "Zeros", (node) => (node.gradient ? node.gradient.zeros : null), percent, true],
    [
      "bad",
      "NaN, inf",
      (node) => (node.gradient ? node.gradient.nan + node.gradient.inf : null),
      (value) => (value ? String(value) : ""),
      true,
    ],
  ];

  class Table {
    constructor(model, go) {
      Object.assign(this, {
        model,
        go,
        key: "number",
        down: true,
        element: byId("table"),
        rest: [],
        selected: null,
      });
    }

    draw() {
      const { model } = this;
      const [, , value] = COLUMNS.find((column) => column[0] === this.key);
      const nodes = model.nodes.map((node) => [value(node, model), node]);
      nodes.sort(([a, x], [b, y]) => {
        if (a === b) return y.number - x.number;
        if (a === null || b === null) return a === null ? 1 : -1;
        const order = typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
        return this.down ? -order : order;
      });
      const head = html(
        "tr",
        {},
        ...COLUMNS.map(([key, name, , , right]) =>
          html(
            "th",
            {
              scope: "col",
              class: right ? "n" : null,
              "aria-sort": key === this.key ? (this.down ? "descending" : "ascending") : "none",
            },
            html(
              "button",
              { type: "button", "data-sort": key, onclick: () => this.sort(key) },
              name,
            ),
          ),
        ),
      );
      this.rest = nodes.map(([, node]) => node);
      this.body = html("tbody");
      const scroll = html(
        "div",
        { class: "scroll", onscroll: () => this.fill(scroll) },
        html(
          "table",
          {},
          html("caption", { class: "unseen" }, "All nodes of the tape"),
          html("thead", {}, head),
          this.body,
        ),
      );
      this.element.replaceChildren(scroll);
      this.fill(scroll);
    }

    // Rows for a window more than can be seen.
    fill(scroll) {
      const short = () => this.body.offsetHeight < scroll.scrollTop + 2 * scroll.clientHeight;
      while (this.rest.length && short()) {
        this.body.append(...this.rest.splice(0, AT_ONCE).map((node) => this.row(node)));
        this.mark(this.selected);
      }
    }

    row(node) {
      const { model } = this;
      const bad = node.gradient && node.gradient.nan + node.gradient.inf > 0;
      return html(
        "tr",
        {
          class: `fam-${tape.family(node)}${bad ? " bad" : ""}`,
          "data-row": node.id,
          onclick: () => this.go(`n${node.id}`),
        },
        ...COLUMNS.map(([key, , value, show, right]) => {
          const text = show(value(node, model), node);
          return html(
            "td",
            { class: right ? "n" : null },
            key === "op"
              ? html("button", { type: "button", class: "link", title: text }, text)
              : html("span", { title: key === "module" ? text : null }, text),
          );
        }),
      );
    }

    sort(key) {
      const words = key === "op" || key === "module";
      this.down = key === this.key ? !this.down : !words;
      this.key = key;
      this.draw();
      this.element.querySelector(`[data-sort="${key}"]`).focus();
    }

    mark(id) {
      this.selected = id;
      for (const row of this.element.querySelectorAll("tr.selected"))
        row.classList.remove("selected");
      const row = id && this.element.querySelector(`[data-row="${id.slice(1)}"]`);
      if (row) row.classList.add("selected");
    }

    show(on) {
      this.element.hidden = !on;
      if (on) this.draw();
      else this.element.replaceChildren();
    }
  }

  Object.assign(tape, { Table });
})();
