// Details of what is selected: an operation, a parameter, or a module with what it holds.
"use strict";

(() => {
  const { html, byId, bytes, time, number, percent, shape, count } = tape;
  const SHOWN = 30;

  const section = (name, ...children) =>
    html("section", { class: "part" }, html("h3", {}, name), ...children);
  const facts = (rows) =>
    html(
      "dl",
      { class: "facts" },
      ...rows
        .filter(Boolean)
        .flatMap(([name, value, key]) => [
          html("dt", {}, name),
          html("dd", key ? { "data-value": key } : {}, value),
        ]),
    );

  class Panel {
    constructor(model, go) {
      this.model = model;
      this.go = go; // selects a node or a group
      this.element = byId("panel");
    }

    close() {
      this.element.hidden = true;
      this.element.replaceChildren();
    }

    open(parts, id) {
      const scrolled = this.element.dataset.shows === id ? this.element.scrollTop : 0;
      this.element.dataset.shows = id;
      this.element.replaceChildren(
        html(
          "button",
          {
            type: "button",
            class: "icon close",
            "aria-label": "Close details",
            title: "Close (Esc)",
            onclick: () => this.element.dispatchEvent(new CustomEvent("dismiss")),
          },
          "×",
        ),
        ...parts.filter(Boolean),
      );
      this.element.hidden = false;
      this.element.scrollTop = scrolled;
    }

    link(node, output = "") {
      return html(
        "button",
        {
          type: "button",
          class: `link fam-${tape.family(node)}`,
          "data-go": node.id,
          onclick: () => this.go(`n${node.id}`),
        },
        html("span", { class: "nr" }, node.number),
        this.model.name(node),
        output,
      );
    }

    links(ids) {
      if (!ids.length) return html("p", { class: "none" }, "none");
      const shown = ids.slice(0, SHOWN).map((id) => this.link(this.model.nodes[id]));
      return html(
        "div",
        { class: "links" },
        ...shown,
        ids.length > SHOWN
          ? html("span", { class: "more" }, `and ${ids.length - SHOWN} more`)
          : null,
      );
    }

    node(node) {
      const { model } = this;
      const module = model.module(node);
      const leaf = node.kind === "leaf";
      this.open(
        [
          html(
            "header",
            { class: `fam-${tape.family(node)}` },
            html("h2", { "data-value": "name" }, model.name(node)),
            html(
              "p",
              { class: "torch" },
              html("code", { "data-value": "torch" }, node.name),
              ` · number ${node.number}`,
            ),
            module
              ? html(
                  "p",
                  { class: "module" },
                  html("span", { "data-value": "module" }, module.path || module.kind),
                  html("code", {}, module.brief),
                )
              : null,
          ),
          this.warnings(node),
          section(
            node.outputs.length > 1 ? "Outputs" : leaf ? "Value" : "Output",
            facts([
              ...node.outputs.map((out, i) => [
                node.outputs.length > 1 ? `number ${i}` : "shape",
                html(
                  "span",
                  {},
                  html("code", { "data-value": i ? null : "shape" }, shape(out.shape)),
                  ` ${out.dtype}`,
                ),
              ]),
              leaf
                ? null
                : [
                    "forward",
                    node.forward_ms === null ? "not measured" : time(node.forward_ms),
                    "forward",
                  ],
              [
                "backward",
                node.backward_ms === null ? "not reached" : time(node.backward_ms),
                "backward",
              ],
            ]),
          ),
          this.kept(node),
          this.gradient(node),
          this.images(node),
          node.site
            ? section(
                "Where it was made",
                html(
                  "p",
                  { class: "site" },
                  html("code", { "data-value": "site" }, `${node.site.file}:${node.site.line}`),
                  ` in ${node.site.function}`,
                ),
                node.site.text ? html("pre", { tabindex: 0 }, node.site.text) : null,
              )
            : null,
          section("Inputs", this.inputs(node)),
          section(leaf ? "Used by" : "Output goes to", this.links(model.consumers[node.id])),
        ],
        `n${node.id}`,
      );
    }

    warnings(node) {
      const g = node.gradient;
      if (!g || (!g.nan && !g.inf)) return null;
      const found = [
        g.nan ? count(g.nan, "NaN", "NaN") : null,
        g.inf ? count(g.inf, "infinity", "infinities") : null,
      ];
      return html(
        "p",
        { class: "alarm", role: "alert" },
        `${found.filter(Boolean).join(" and ")} in its gradient`,
      );
    }

    kept(node) {
      if (!node.saved.length) {
        return node.kind === "leaf"
          ? null
          : section("Kept for backward", html("p", { class: "none" }, "nothing"));
      }
      const rows = node.saved.map((each) =>
        html(
          "tr",
          {},
          html("td", {}, each.what),
          html(
            "td",
            {},
            html("code", {}, each.shape.length || each.dtype ? shape(each.shape) : "–"),
          ),
          html("td", {}, each.dtype),
          html("td", { class: "n" }, bytes(each.bytes)),
        ),
      );
      return section(
        "Kept for backward",
        html(
          "table",
          { class: "kept" },
          html("tbody", {}, ...rows),
          html(
            "tfoot",
            {},
            html(
              "tr",
              {},
              html("th", { colspan: 3, scope: "row" }, "together"),
              html("td", { class: "n", "data-value": "saved" }, bytes(node.saved_bytes)),
            ),
          ),
        ),
      );
    }

    gradient(node) {
      const g = node.gradient;
      if (!g) return section("Gradient", html("p", { class: "none" }, "none arrived here"));
      return section(
        "Gradient",
        facts([
          ["norm", number(g.norm), "norm"],
          ["range", `${number(g.min)} … ${number(g.max)}`, "range"],
          ["mean", number(g.mean)],
          ["zeros", percent(g.zeros), "zeros"],
          [
            "NaN, infinite",
            html("span", { class: g.nan || g.inf ? "bad" : "" }, `${g.nan}, ${g.inf}`),
          ],
        ]),
        g.histogram ? tape.histogram(g.histogram) : null,
      );
    }

    images(node) {
      const seen = new Set();
      const all = [
        ...node.images,
        ...node.saved.map((each) => ({ image: each.image, title: `kept ${each.what}` })),
      ];
      const shown = all.filter(({ image }) => {
        if (image === null || seen.has(image) || !this.model.images.has(image)) return false;
        return seen.add(image);
      });
      if (!shown.length) return null;
      const room = Math.min(336, window.innerWidth - 48);
      return section(
        "Images",
        ...shown.map(({ image, title }) => tape.picture(this.model.images.get(image), title, room)),
      );
    }

    inputs(node) {
      if (!node.inputs.length)
        return html(
          "p",
          { class: "none" },
          node.kind === "leaf" ? "none: the tape ends here" : "none",
        );
      return html(
        "div",
        { class: "links" },
        ...node.inputs.map((input) => {
          if (input.node === null)
            return html("span", { class: "nobody" }, "no gradient asked for");
          const source = this.model.nodes[input.node];
          return this.link(source, source.outputs.length > 1 ? ` output ${input.output}` : "");
        }),
      );
    }

    group(group, isOpen, toggle) {
      const ops = group.nodes
        .filter((node) => node.kind === "op")
        .sort((a, b) => a.number - b.number);
      const sum = (key) => {
        const values = group.nodes.map((node) => node[key]).filter((value) => value !== null);
        return values.length ? values.reduce((a, b) => a + b, 0) : null;
      };
      const leaves = group.nodes.length - ops.length;
      const last = ops[ops.length - 1];
      this.open(
        [
          html(
            "header",
            { class: "fam-group" },
            html("h2", { "data-value": "name" }, group.name),
            html(
              "p",
              { class: "module" },
              html("code", {}, group.module.brief),
              group.module.calls > 1 ? ` call ${group.module.call} of ${group.module.calls}` : "",
            ),
          ),
          html(
            "p",
            {},
            html(
              "button",
              { type: "button", class: "main", onclick: toggle },
              isOpen ? "Fold" : "Unfold",
            ),
          ),
          section(
            "All in all",
            facts([
              ["operations", ops.length, "operations"],
              ["leaves", leaves],
              last ? ["output", html("code", {}, shape(last.outputs[0].shape))] : null,
              ["forward", time(sum("forward_ms"))],
              ["backward", time(sum("backward_ms"))],
              ["kept", bytes(sum("saved_bytes")), "saved"],
            ]),
          ),
          section("Operations", this.links(ops.map((node) => node.id))),
        ],
        group.id,
      );
    }
  }

  Object.assign(tape, { Panel });
})();
