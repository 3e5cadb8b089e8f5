// The search box: operations, PyTorch's names, modules and parameters.
"use strict";

(() => {
  const { html, byId } = tape;
  const MOST = 12;

  class Search {
    constructor(model, groups, go) {
      Object.assign(this, { go, active: 0, found: [] });
      this.input = byId("search");
      this.list = byId("found");
      this.entries = [
        ...groups.map((group) => ({
          id: group.id,
          name: group.name,
          hint: group.module.brief,
          family: "group",
          words: `${group.name} ${group.module.kind} ${group.module.brief}`.toLowerCase(),
        })),
        ...model.nodes.map((node) => ({
          id: `n${node.id}`,
          name: model.name(node),
          family: tape.family(node),
          hint: tape.isInput(node)
            ? "input"
            : node.kind === "leaf"
              ? "parameter"
              : model.where(node) || node.name,
          number: node.number,
          words: [
            node.op,
            node.label,
            node.name,
            model.where(node),
            (model.module(node) || {}).kind,
            node.number,
          ]
            .join(" ")
            .toLowerCase(),
        })),
      ];
      this.input.addEventListener("input", () => this.look());
      this.input.addEventListener("focus", () => this.look());
      this.input.addEventListener("blur", () => this.close());
      this.input.addEventListener("keydown", (event) => this.key(event));
    }

    look() {
      const words = this.input.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
      const fits = words.length
        ? this.entries.filter((entry) => words.every((word) => entry.words.includes(word)))
        : [];
      const score = (entry) =>
        words.some((word) => entry.name.toLowerCase().startsWith(word)) ? 0 : 1;
      this.found = fits
        .map((entry, i) => [score(entry), i, entry])
        .sort((a, b) => a[0] - b[0] || a[1] - b[1])
        .map((each) => each[2])
        .slice(0, MOST);
      this.active = 0;
      this.more = fits.length - this.found.length;
      this.draw(words.length > 0);
    }

    draw(asked) {
      const rows = this.found.map((entry, i) =>
        html(
          "li",
          {
            id: `found-${i}`,
            role: "option",
            "aria-selected": String(i === this.active),
            class: `fam-${entry.family}`,
            onpointerdown: (event) => event.preventDefault(),
            onclick: () => this.take(i),
          },
          html("b", {}, entry.name),
          html("span", {}, entry.hint),
          entry.number === undefined ? null : html("i", {}, entry.number),
        ),
      );
      if (asked && !rows.length) rows.push(html("li", { class: "none" }, "Nothing found"));
      if (this.more > 0) rows.push(html("li", { class: "none" }, `and ${this.more} more`));
      this.list.replaceChildren(...rows);
      this.list.hidden = !rows.length;
      this.input.setAttribute("aria-expanded", String(rows.length > 0));
      this.input.setAttribute(
        "aria-activedescendant",
        this.found.length ? `found-${this.active}` : "",
      );
    }

    key(event) {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        const n = this.found.length || 1;
        this.active = (this.active + (event.key === "ArrowDown" ? 1 : n - 1)) % n;
        this.draw(true);
      } else if (event.key === "Enter") this.take(this.active);
      else if (event.key === "Escape") {
        this.input.value = "";
        this.close();
        byId("stage").focus();
      } else return;
      event.stopPropagation();
    }

    take(index) {
      const entry = this.found[index];
      if (!entry) return;
      this.close();
      this.go(entry.id);
    }

    close() {
      this.list.hidden = true;
      this.input.setAttribute("aria-expanded", "false");
      this.input.removeAttribute("aria-activedescendant");
    }
  }

  Object.assign(tape, { Search });
})();
