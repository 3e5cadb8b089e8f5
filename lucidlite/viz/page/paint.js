// How what is drawn shows the state: the step, the selection, the shading, which picture.
"use strict";

(() => {
  const HEATS = 7;
  const MOST_EDGES = 600;

  class Painted {
    // In the backward pass, what was reached shows its gradient instead of its output.
    imageOf(item) {
      if (item.kind === "source") return item.image;
      const ops = item.nodes.filter((node) => node.kind === "op");
      if (!ops.length) return null;
      const last = ops.reduce((a, b) => (a.number > b.number ? a : b));
      const { pass, visited, current } = this.state;
      const reached = visited.has(last.id) || current === last.id;
      if (pass === "backward" && reached) return this.model.image(last, "gradient");
      if (pass === "forward" && !reached) return null;
      return this.model.image(last, "output", "windows") || this.filters(item, last);
    }

    // An operation whose output wasn't kept shows its filters, where it has some.
    filters(item, node) {
      if (item.kind !== "unit") return null;
      const leaves = node.inputs
        .filter((each) => each.node !== null)
        .map((each) => this.model.nodes[each.node]);
      const weight = leaves.find(
        (each) => each.kind === "leaf" && this.model.image(each, "weight"),
      );
      return weight ? this.model.image(weight, "weight") : null;
    }

    status(item) {
      const { current, visited, waiting } = this.state;
      if (item.nodes.some((node) => node.id === current)) return "current";
      if (item.nodes.some((node) => waiting.has(node.id))) return "waiting";
      if (item.nodes.length && item.nodes.every((node) => visited.has(node.id))) return "visited";
      return "";
    }

    heatOf(item) {
      if (!this.heat || item.kind === "source") return null;
      const values = item.nodes
        .map((node) => this.model.value(node, this.heat))
        .filter((v) => v !== null);
      if (!values.length) return null;
      const value = this.heat === "norm" ? Math.max(...values) : values.reduce((a, b) => a + b, 0);
      return Math.round(this.warmth(value) * (HEATS - 1));
    }

    shade(key) {
      this.heat = key === "kind" ? null : key;
      const values = this.model.nodes
        .map((node) => this.model.value(node, this.heat || "norm"))
        .filter((value) => value !== null && value > 0);
      const most = Math.max(...values, 1e-30);
      const least = Math.min(...values, most);
      this.extent = this.heat ? [key === "norm" ? least : 0, most] : null;
      this.warmth =
        key === "norm"
          ? (v) => (v > 0 ? Math.log(v / least) / (Math.log(most / least) || 1) : 0)
          : (v) => Math.min(1, Math.sqrt(Math.max(v, 0) / most));
      if (this.far) this.drawFar();
      this.paint();
    }

    paint() {
      const { items, edges, boxes } = this.drawn;
      for (const [item, old] of items) {
        const element = item.image === this.imageOf(item) ? old : this.make(item);
        if (element !== old) {
          old.replaceWith(element);
          items.set(item, element);
        }
        const status = this.status(item);
        for (const name of ["current", "waiting", "visited"])
          element.classList.toggle(name, status === name);
        element.classList.toggle("selected", this.isSelected(item));
        const heat = this.heatOf(item);
        for (let i = 0; i < HEATS; i += 1) element.classList.toggle(`heat-${i}`, heat === i);
        this.paintPills(item, element);
      }
      for (const [box, element] of boxes) {
        element.classList.toggle("selected", this.selected === box.id);
        element.classList.toggle(
          "inside",
          box.nodes.some((node) => node.id === this.state.current),
        );
      }
      this.paintEdges();
    }

    isLit(edge) {
      return edge.pairs.some(([to, from]) => this.state.lit.has(`${to} ${from}`));
    }

    touches(edge) {
      return this.isSelected(edge.source) || this.isSelected(edge.target);
    }

    wasUsed(edge) {
      const { visited, pass } = this.state;
      return edge.pairs.some(([to, from]) =>
        pass === "forward" ? visited.has(from) && visited.has(to) : visited.has(to),
      );
    }

    // Very many lines in sight are one path, and elements only where they are lit.
    paintEdges() {
      const many = this.inSight.length > MOST_EDGES;
      const single = (edge) => !many || this.isLit(edge) || this.touches(edge);
      this.sync("edges", this.inSight.filter(single), (edge) => tape.shapes.line(edge));
      const data = many ? this.inSight.map((edge) => tape.shapes.data(edge)).join("") : "M0 0";
      if (this.bundle.getAttribute("d") !== data) this.bundle.setAttribute("d", data);
      const backward = this.state.pass === "backward";
      for (const [edge, element] of this.drawn.edges) {
        const on = this.isLit(edge);
        element.classList.toggle("lit", on);
        element.classList.toggle("was", !on && this.wasUsed(edge));
        element.classList.toggle("touches", !on && this.touches(edge));
        element.classList.toggle("upward", on && backward);
        const up = on && backward;
        element.setAttribute(
          up ? "marker-start" : "marker-end",
          `url(#${up ? "up" : on ? "lit" : "down"})`,
        );
        element.removeAttribute(up ? "marker-end" : "marker-start");
        if (on && element.nextSibling) this.layers.edges.append(element);
      }
    }

    isSelected(item) {
      if (this.selected === null) return false;
      if (item.id === this.selected) return true;
      const found = /^n(\d+)$/.exec(this.selected);
      return (
        Boolean(found) &&
        item.kind === "group" &&
        item.nodes.some((node) => node.id === Number(found[1]))
      );
    }

    paintPills(item, element) {
      if (!item.pills || !item.pills.length) return;
      const { current, visited, waiting, lit } = this.state;
      for (const pill of element.querySelectorAll(".pill")) {
        const id = Number(pill.dataset.node || pill.dataset.again);
        pill.classList.toggle("current", id === current);
        pill.classList.toggle("waiting", waiting.has(id));
        pill.classList.toggle("visited", visited.has(id));
        pill.classList.toggle("selected", this.selected === `n${id}`);
      }
      for (const wire of element.querySelectorAll(".wire")) {
        wire.classList.toggle("lit", lit.has(`${item.node.id} ${wire.dataset.wire}`));
      }
    }
  }

  Object.assign(tape, { Painted });
})();
