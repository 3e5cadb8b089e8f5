// The whole drawing: every open module is laid out by itself, then stands as a box in its parent.
//
// Links that cross a box's border become ports: places at its top or bottom edge from which the
// inner level goes on. A shown edge is the chain of its pieces through the levels.
"use strict";

(() => {
  const GAP = 38;
  const SMALL = 18; // between a port at the border and the first row
  const PAD = { x: 18, top: 32, bottom: 4 };

  function build(root, edges, folded, size) {
    const levels = new Map();
    const level = (group) => {
      if (!levels.has(group)) levels.set(group, { links: new Map(), pieces: new Map() });
      return levels.get(group);
    };
    for (const edge of edges) edge.steps = thread(edge, level);
    const sources = new Map();
    for (const { source, target } of edges)
      if (source.kind === "source") sources.set(target, source);
    lay(root, { levels, folded, size, sources });
    move(root, 0, 0);
    const shown = collect(root);
    for (const edge of edges) edge.points = route(edge);
    return { ...shown, edges, width: root.w, height: root.h };
  }

  // The levels an edge passes, with the link it is there: out of boxes, across, into boxes.
  function thread(edge, level) {
    const up = ancestors(edge.source);
    const down = ancestors(edge.target);
    let common = 0;
    while (
      common + 1 < up.length &&
      common + 1 < down.length &&
      up[common + 1] === down[common + 1]
    ) {
      common += 1;
    }
    const steps = [];
    const add = (group, from, to) => {
      const { links } = level(group);
      const key = `${edge.source.id}:${from ? from.id : "top"}>${to ? to.id : "bottom"}`;
      if (!links.has(key)) links.set(key, { from, to, source: edge.source, key });
      steps.push([group, key]);
    };
    const itemsUp = [...up.slice(1), edge.source];
    const itemsDown = [...down.slice(1), edge.target];
    for (let i = up.length - 1; i > common; i -= 1) add(up[i], itemsUp[i], null);
    add(up[common], itemsUp[common], itemsDown[common]);
    for (let i = common + 1; i < down.length; i += 1) add(down[i], null, itemsDown[i]);
    return steps;
  }

  function ancestors(item) {
    const found = [];
    for (let group = item.parent; group; group = group.parent) found.push(group);
    return found.reverse();
  }

  function lay(group, given) {
    const { links, pieces } = given.levels.get(group) || { links: new Map(), pieces: new Map() };
    const children = [];
    for (const child of group.children) {
      const source = given.sources.get(child);
      if (source) children.push(source);
      children.push(child);
    }
    for (const child of children) {
      child.open = child.kind === "group" && !given.folded.has(child);
      if (child.open) lay(child, given);
      else given.size(child);
    }
    const items = [];
    const indices = new Map();
    const put = (key, item) => {
      if (!indices.has(key)) {
        indices.set(key, items.length);
        items.push(item);
      }
      return indices.get(key);
    };
    const all = [...links.values()];
    const ports = (pin, chosen) => {
      for (const link of chosen) {
        const key = `${pin} ${link.source.id}`;
        put(key, { w: 2, h: 0, pin, port: link.source.id });
      }
    };
    ports(
      "top",
      all.filter((link) => !link.from),
    );
    for (const child of children) put(child, { w: child.w, h: child.h, child });
    ports(
      "bottom",
      all.filter((link) => !link.to),
    );
    const wires = all.map((link) => ({
      link,
      port: link.source.id,
      from: indices.get(link.from || `top ${link.source.id}`),
      to: indices.get(link.to || `bottom ${link.source.id}`),
      out: link.from ? leaving(link.from, link.source.id) : 1,
      into: link.to ? entering(link.to, link.source.id) : 1,
    }));
    const { cells, grid } = tape.rows(items, wires, GAP);
    tape.across(grid);
    const { tops, bottoms } = tape.downward(grid, cells, GAP, SMALL);
    finish(group, items, cells, grid, tops, bottoms);
    for (const wire of wires) {
      pieces.set(wire.link.key, piece(wire, cells, items, tops, bottoms, group));
    }
    group.pieces = pieces;
    spread(wires, pieces, items);
  }

  const entering = (item, port) => (item.open ? item.inPorts.get(port) : item.port);
  const leaving = (item, port) => (item.open ? item.outPorts.get(port) : item.port);

  // The box around a level, and where its ports are.
  function finish(group, items, cells, grid, tops, bottoms) {
    let left = Infinity;
    let right = -Infinity;
    for (const row of grid) {
      if (!row.length) continue;
      left = Math.min(left, row[0].x);
      right = Math.max(right, row[row.length - 1].x + row[row.length - 1].w);
    }
    if (left > right) [left, right] = [0, 0];
    const framed = group.parent !== null;
    const pad = framed ? PAD : { x: 0, top: 0, bottom: 0 };
    const label = framed ? tape.groupLabel(group) : null;
    const needed = label ? label.width + 2 * PAD.x : 0;
    const extra = Math.max(0, needed - (right - left + 2 * pad.x));
    group.w = right - left + 2 * pad.x + extra;
    const open = framed && !cells.some((cell, index) => items[index].pin === "bottom");
    group.h = (bottoms[bottoms.length - 1] || 0) + pad.top + pad.bottom + (open ? 14 : 0);
    group.inPorts = new Map();
    group.outPorts = new Map();
    cells.forEach((cell, index) => {
      const item = items[index];
      cell.dx = cell.x - left + pad.x;
      cell.dy = tops[cell.row] + pad.top;
      if (item.child) {
        item.child.dx = cell.dx;
        item.child.dy = cell.dy;
      } else if (item.pin === "top") group.inPorts.set(item.port, cell.dx + 1);
      else group.outPorts.set(item.port, cell.dx + 1);
    });
    group.shift = pad.x - left;
    group.pad = pad;
    const first = group.outPorts.values().next().value;
    group.port = first === undefined ? group.w / 2 : first;
    if (label) group.slot = slot(group, label.width);
    group.items = items.map((item) => item.child).filter(Boolean);
  }

  // Where a box's label fits between the lines that enter at its top.
  function slot(group, width) {
    const stops = [...group.inPorts.values()].sort((a, b) => a - b);
    const edges = [4, ...stops, group.w - 4];
    let best = { x: 12, room: -1 };
    for (let i = 1; i < edges.length && best.room < width; i += 1) {
      const room = edges[i] - edges[i - 1] - 16;
      if (room > best.room) best = { x: edges[i - 1] + 10, room };
    }
    return best.x;
  }

  // A link's polyline in its group's coordinates: down through rows, across between them.
  function piece(wire, cells, items, tops, bottoms, group) {
    const source = cells[wire.from];
    const target = cells[wire.to];
    const points = [];
    const x = source.dx + wire.out;
    const { pin, child } = items[wire.from];
    if (pin) points.push([x, 0]);
    else points.push([x, source.dy + (child.open ? child.h : child.cardHeight)]);
    points.push([x, bottoms[source.row + source.span - 1] + group.pad.top]);
    for (const lane of wire.lane) {
      const at = lane.x + group.shift + 1;
      points.push([at, tops[lane.row] + group.pad.top], [at, bottoms[lane.row] + group.pad.top]);
    }
    const end = target.dx + wire.into;
    points.push([end, target.dy]);
    if (items[wire.to].pin) points.push([end, group.h]);
    return points;
  }

  // Lines into one card arrive side by side: the straightest in the middle.
  function spread(wires, pieces, items) {
    const into = new Map();
    for (const wire of wires) {
      if (items[wire.to].pin || !items[wire.to].child || items[wire.to].child.open) continue;
      if (!into.has(wire.to)) into.set(wire.to, []);
      into.get(wire.to).push(pieces.get(wire.link.key));
    }
    for (const [index, lines] of into) {
      if (lines.length < 2) continue;
      const from = (line) => line[line.length - 2][0];
      const middle = lines[0][lines[0].length - 1][0];
      const near = lines.reduce((best, line) =>
        Math.abs(from(line) - middle) < Math.abs(from(best) - middle) ? line : best,
      );
      const room = items[index].child.card || items[index].w;
      const gap = Math.min(22, (room * 0.4) / lines.length);
      const left = lines
        .filter((line) => line !== near && from(line) < from(near))
        .sort((a, b) => from(b) - from(a));
      const right = lines
        .filter((line) => line !== near && from(line) >= from(near))
        .sort((a, b) => from(a) - from(b));
      left.forEach((line, i) => {
        line[line.length - 1][0] -= gap * (i + 1);
      });
      right.forEach((line, i) => {
        line[line.length - 1][0] += gap * (i + 1);
      });
    }
  }

  function move(group, x, y) {
    group.x = x;
    group.y = y;
    for (const child of group.items) {
      if (child.open) move(child, x + child.dx, y + child.dy);
      else {
        child.x = x + child.dx;
        child.y = y + child.dy;
      }
    }
  }

  function collect(root) {
    const items = [];
    const boxes = [];
    const walk = (group, depth) => {
      for (const child of group.items) {
        if (child.open) {
          child.depth = depth;
          boxes.push(child);
          walk(child, depth + 1);
        } else items.push(child);
      }
    };
    walk(root, 0);
    return { items, boxes };
  }

  function route(edge) {
    const points = [];
    for (const [group, key] of edge.steps) {
      for (const [x, y] of group.pieces.get(key)) {
        const last = points[points.length - 1];
        const at = [x + group.x, y + group.y];
        if (!last || Math.abs(last[0] - at[0]) > 0.01 || Math.abs(last[1] - at[1]) > 0.01)
          points.push(at);
      }
    }
    return points;
  }

  // Rounded between rows: curves with upright ends where a line changes column.
  function path(points) {
    let text = `M${points[0][0]} ${points[0][1]}`;
    for (let i = 1; i < points.length; i += 1) {
      const [x0, y0] = points[i - 1];
      const [x1, y1] = points[i];
      if (Math.abs(x0 - x1) < 0.5) text += `L${x1} ${y1}`;
      else {
        const bend = Math.max((y1 - y0) * 0.55, 8);
        text += `C${x0} ${y0 + bend} ${x1} ${y1 - bend} ${x1} ${y1}`;
      }
    }
    return text;
  }

  Object.assign(tape, { build, path });
})();
