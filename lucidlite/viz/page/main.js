// Puts the page together: reads the data, wires the parts, and hears the keyboard.
"use strict";

(() => {
  const { html, byId, bytes, time, count } = tape;
  const FOLD_ABOVE = 60; // with more cards than this, a graph starts folded

  class Page {
    constructor(data) {
      this.model = new tape.Model(data);
      const { root, units } = tape.tree(this.model);
      Object.assign(this, {
        root,
        units,
        groups: tape.groupsOf(root),
        selected: null,
      });
      this.byGroup = new Map(this.groups.map((group) => [group.id, group]));
      this.folded = tape.startFolded(root, FOLD_ABOVE);
      this.drawing = new tape.Drawing(byId("drawing"), this.model);
      this.view = new tape.View(byId("stage"), this.drawing);
      const go = (id) => this.select(id, true);
      this.panel = new tape.Panel(this.model, go);
      this.table = new tape.Table(this.model, (id) => this.select(id, false));
      this.search = new tape.Search(this.model, this.groups, go);
      this.head();
      tape.legend(this.model);
      this.toggleHelp = tape.help(this.model);
      this.layOut();
      this.steps = new tape.Steps(this.model, (state, node) => this.stepped(state, node), go);
      this.wire();
      this.view.fit(false, true);
    }

    head() {
      const { totals, title } = this.model;
      byId("title").textContent = title;
      document.title = title;
      byId("totals").replaceChildren(
        ...[
          count(totals.nodes, "node"),
          `${bytes(totals.kept_bytes)} kept`,
          totals.forward_ms === null ? null : `forward ${time(totals.forward_ms)}`,
          `backward ${time(totals.backward_ms)}`,
          totals.images_left_out ? `${count(totals.images_left_out, "picture")} left out` : null,
        ]
          .filter(Boolean)
          .map((text) => html("span", {}, text)),
      );
      const broken = this.model.broken();
      if (broken.length) {
        byId("totals").append(
          html(
            "button",
            {
              type: "button",
              class: "alert",
              onclick: () => this.select(`n${broken[0].id}`, true),
            },
            `NaN or infinity in ${count(broken.length, "gradient")}`,
          ),
        );
      }
      for (const key of ["forward_ms", "backward_ms"]) {
        if (this.model.nodes.some((node) => node[key] !== null)) continue;
        const option = byId("shade").querySelector(`[value="${key}"]`);
        if (option) option.remove();
      }
    }

    layOut() {
      const edges = tape.shownEdges(this.model, this.units, this.folded);
      const scene = tape.build(this.root, edges, this.folded, tape.size);
      this.drawing.show(scene);
    }

    // Folding keeps the thing that was folded where it is on the screen.
    fold(group, closed) {
      const { view } = this;
      const before = [group.x * view.k + view.x, group.y * view.k + view.y];
      if (closed) this.folded.add(group);
      else this.folded.delete(group);
      this.layOut();
      view.x = before[0] - group.x * view.k;
      view.y = before[1] - group.y * view.k;
      view.apply();
      tape.say(`${group.name} ${closed ? "folded" : "unfolded"}`);
      if (this.selected) this.select(this.selected, false);
    }

    foldAll(closed) {
      this.folded = new Set(closed ? this.groups : []);
      this.layOut();
      this.view.fit(true, true);
      tape.say(closed ? "All modules folded" : "All modules unfolded");
    }

    toggle(id) {
      const group = this.byGroup.get(id);
      if (group) this.fold(group, !this.folded.has(group));
    }

    node(id) {
      return /^n\d+$/.test(id) ? this.model.nodes[Number(id.slice(1))] : null;
    }

    // The item that stands for an id now: a card, a folded module around it, or an open box.
    item(id) {
      const group = this.byGroup.get(id);
      if (group) return group.open ? group : tape.shownItem(group, this.folded);
      return this.drawing.itemOf.get(Number(id.slice(1)));
    }

    open(id) {
      const node = this.node(id);
      const unit =
        node && (this.units.get(node.id) || this.units.get(this.model.consumers[node.id][0]));
      let changed = false;
      for (let group = (unit || this.byGroup.get(id)).parent; group; group = group.parent) {
        changed = this.folded.delete(group) || changed;
      }
      if (changed) this.layOut();
    }

    select(id, reveal) {
      if (id !== null && id.startsWith("s")) return;
      this.selected = id;
      if (id === null) {
        this.panel.close();
        this.drawing.select(null);
        this.table.mark(null);
        byId("stage").removeAttribute("aria-activedescendant");
        return;
      }
      if (reveal) this.open(id);
      this.drawing.select(id);
      this.table.mark(id);
      const node = this.node(id);
      const group = this.byGroup.get(id);
      if (node) this.panel.node(node);
      else this.panel.group(group, !this.folded.has(group), () => this.toggle(id));
      const item = this.item(id);
      if (item) byId("stage").setAttribute("aria-activedescendant", `item-${item.id}`);
      if (item && (reveal || this.covered()))
        this.bring(item, reveal && this.view.k < 0.45 ? 0.8 : 0);
      tape.say(
        node ? `${this.model.name(node)}, ${this.model.where(node)}` : `module ${group.name}`,
      );
    }

    // On a phone the panel lies over the lower part of the drawing.
    covered() {
      const panel = byId("panel");
      return !panel.hidden && getComputedStyle(panel).position === "absolute"
        ? panel.offsetHeight
        : 0;
    }

    bring(item, least = 0) {
      const box = {
        x: item.x,
        y: item.y,
        w: item.open ? Math.min(item.w, 400) : item.w,
        h: item.open ? 60 : item.h,
      };
      requestAnimationFrame(() => this.view.reveal(box, least, this.covered()));
    }

    stepped(state, node) {
      this.drawing.set(state);
      if (!node) return;
      const item = this.drawing.itemOf.get(node.id);
      if (item) this.bring(item);
      if (!byId("panel").hidden) this.select(`n${node.id}`, false);
    }

    // To an input (up) or a consumer (down) of what is selected; at first to the output or the
    // start.
    walk(up) {
      const { model } = this;
      const node = this.selected && this.node(this.selected);
      const from = node ? [node] : this.selected ? this.byGroup.get(this.selected).nodes : [];
      const inside = new Set(from.map((each) => each.id));
      const all = from
        .flatMap((each) => (up ? each.inputs.map((input) => input.node) : model.consumers[each.id]))
        .filter((id) => id !== null && !inside.has(id));
      const ops = all.filter((id) => model.nodes[id].kind === "op");
      const near = ops.length ? ops : all;
      const start = up ? 0 : (model.created[0] ?? 0);
      if (from.length && !near.length) return;
      // Of several the one made last (up) or first (down): the main road.
      const id = from.length ? (up ? Math.min(...near) : Math.max(...near)) : start;
      const item = this.drawing.itemOf.get(id);
      this.select(item && item.kind === "group" ? item.id : `n${id}`, true);
    }

    // Folds the module around what is selected.
    foldAround() {
      const item = this.selected && this.item(this.selected);
      const group = item && (item.open ? item : item.parent);
      if (!group || !group.parent) return;
      this.fold(group, true);
      this.select(group.id, true);
    }

    showTable(on) {
      byId("table-button").setAttribute("aria-pressed", String(on));
      document.body.classList.toggle("as-table", on);
      this.table.show(on);
      if (!on) this.view.apply();
    }

    shade(key) {
      this.drawing.shade(key);
      const show = { norm: tape.number, saved_bytes: bytes }[key] || time;
      const range = byId("shade-range");
      range.hidden = !this.drawing.extent;
      if (this.drawing.extent) {
        const [low, high] = this.drawing.extent.map((value) => html("span", {}, show(value)));
        range.replaceChildren(low, html("i", { "aria-hidden": "true" }), high);
      }
    }

    wire() {
      const on = (id, action) => byId(id).addEventListener("click", action);
      on("zoom-in", () => this.view.zoom(1.3));
      on("zoom-out", () => this.view.zoom(1 / 1.3));
      on("fit", () => this.view.fit());
      on("unfold", () => this.foldAll(false));
      on("fold", () => this.foldAll(true));
      on("theme", tape.turn);
      on("help-button", () => this.toggleHelp());
      on("table-button", () => this.showTable(byId("table").hidden));
      byId("shade").addEventListener("change", (event) => this.shade(event.target.value));
      byId("panel").addEventListener("dismiss", () => {
        this.select(null);
        byId("stage").focus();
      });
      const stage = byId("stage");
      stage.addEventListener("click", (event) => this.click(event));
      stage.addEventListener("dblclick", (event) => {
        const id = this.under(event);
        if (id && this.byGroup.has(id) && !this.byGroup.get(id).open) this.toggle(id);
      });
      document.addEventListener("keydown", (event) => this.key(event));
      if (!this.groups.length) for (const id of ["fold", "unfold"]) byId(id).hidden = true;
    }

    under(event) {
      const found = event.target.closest("[data-node], [data-again], [data-item]");
      if (found) {
        const { node, again, item } = found.dataset;
        return item || `n${node || again}`;
      }
      return this.drawing.at(...this.view.world(event.clientX, event.clientY));
    }

    click(event) {
      if (this.view.moved) {
        this.view.moved = false;
        return;
      }
      const fold = event.target.closest("[data-fold]");
      if (fold) this.toggle(fold.dataset.fold);
      else this.select(this.under(event), false);
    }

    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
      const { target } = event;
      const typing = target.matches("input:not([type=range]), select, textarea");
      if (typing) return;
      const button = target.matches("button, summary");
      if (button && (event.key === "Enter" || event.key === " ")) return;
      const slider = target.matches("input[type=range]");
      if (slider && /^(Arrow|Home|End|Page)/.test(event.key)) return;
      const inText =
        target.closest("#panel, #table") && /^(Arrow(Up|Down)|Home|End)/.test(event.key);
      const key = event.shiftKey && /^Arrow/.test(event.key) ? `Shift ${event.key}` : event.key;
      const action = inText ? null : this.actions()[key];
      if (!action) return;
      event.preventDefault();
      action();
    }

    actions() {
      const { view, steps } = this;
      const move = (x, y) => () => view.go(view.x + x, view.y + y, view.k, false);
      return {
        ArrowRight: () => steps.to(steps.position + 1),
        ArrowLeft: () => steps.to(steps.position - 1),
        Home: () => steps.to(0),
        End: () => steps.to(steps.length),
        " ": () => steps.play(),
        b: () => steps.choose(steps.pass === "backward" ? "forward" : "backward"),
        ArrowUp: () => this.walk(true),
        ArrowDown: () => this.walk(false),
        Enter: () => this.enter(),
        Escape: () => this.select(null),
        f: () => view.fit(),
        "+": () => view.zoom(1.3),
        "=": () => view.zoom(1.3),
        "-": () => view.zoom(1 / 1.3),
        d: tape.turn,
        "Shift ArrowUp": move(0, 80),
        "Shift ArrowDown": move(0, -80),
        "Shift ArrowLeft": move(80, 0),
        "Shift ArrowRight": move(-80, 0),
        m: () => this.foldAround(),
        e: () => this.foldAll(false),
        c: () => this.foldAll(true),
        t: () => this.showTable(byId("table").hidden),
        "/": () => byId("search").focus(),
        "?": () => this.toggleHelp(),
      };
    }

    enter() {
      const item = this.selected && this.item(this.selected);
      if (item && item.kind === "group") this.toggle(item.id);
      else if (this.selected) byId("panel").querySelector("button").focus();
      else if (this.drawing.state.current !== null)
        this.select(`n${this.drawing.state.current}`, true);
    }
  }

  tape.page = new Page(JSON.parse(byId("data").textContent));
})();
