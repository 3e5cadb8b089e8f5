// The drawing from far away: a dozen paths stand for everything, however large the graph is.
"use strict";

(() => {
  const { svg } = tape;
  const LABELS = 60;

  // Rectangles of one kind gathered into the data of one path.
  class Paths extends Map {
    put(name, x, y, w, h) {
      this.set(name, `${this.get(name) || ""}M${x} ${y}h${w}v${h}h${-w}z`);
    }

    card(name, item, pad = 0) {
      const w = (item.card || item.w) + 2 * pad;
      const h = (item.cardHeight || item.h) + 2 * pad;
      this.put(name, item.x - pad, item.y - pad, w, h);
    }

    elements() {
      return [...this].map(([name, d]) => svg("path", { class: name, d }));
    }
  }

  function boxes(scene) {
    const paths = new Paths();
    for (const box of [...scene.boxes].sort((a, b) => a.depth - b.depth)) {
      const name = `box depth-${box.depth % 2} level-${box.depth}`;
      paths.put(name, box.x, box.y, box.w, box.h);
    }
    return paths.elements();
  }

  // Without the points that only lie on a straight way down.
  function lines(scene) {
    const corner = (point, i, all) =>
      i === 0 || i === all.length - 1 || point[0] !== all[i - 1][0] || point[0] !== all[i + 1][0];
    const parts = scene.edges.map((edge) => {
      const points = edge.points.filter(corner);
      return `M${points.map((point) => point.join(" ")).join("L")}`;
    });
    return svg("path", { class: "edge", d: parts.join("") || "M0 0" });
  }

  function blocks(drawing) {
    const paths = new Paths();
    const { k } = drawing.view;
    for (const item of drawing.scene.items) {
      const heat = drawing.heatOf(item);
      const family = item.kind === "unit" ? tape.family(item.node) : item.kind;
      paths.card(heat === null ? `block fam-${family}` : `block heat-${heat}`, item);
    }
    for (const item of drawing.scene.items) {
      const status = drawing.status(item);
      if (status) paths.card(`mark ${status}`, item, status === "current" ? 3 / k : 0);
      if (item.nodes.some(tape.broken)) paths.card("mark broken", item);
      if (drawing.isSelected(item)) paths.card("mark selected", item, 2 / k);
    }
    return paths.elements();
  }

  // Modules by name in the margin, where their boxes begin; the larger ones where room is short.
  function labels({ scene, view }) {
    const { k } = view;
    const placed = [];
    const named = [...scene.boxes, ...scene.items.filter((item) => item.kind === "group")];
    for (const group of named.sort((a, b) => b.h - a.h)) {
      const y = group.y + 11 / k;
      if (placed.length >= LABELS) break;
      if (!placed.some((each) => Math.abs(each.y - y) < 15 / k)) placed.push({ y, group });
    }
    return placed.flatMap(({ y, group }) => [
      svg("path", { class: "leader", d: `M${-8 / k} ${group.y}H${group.x}` }),
      svg(
        "text",
        { class: "far-name", x: -8 / k, y, "font-size": 11 / k, "text-anchor": "end" },
        tape.clip(group.name, "small", 150, "end"),
      ),
    ]);
  }

  const fromFar = (drawing) => [
    ...boxes(drawing.scene),
    lines(drawing.scene),
    ...blocks(drawing),
    ...labels(drawing),
  ];

  Object.assign(tape, { fromFar });
})();
