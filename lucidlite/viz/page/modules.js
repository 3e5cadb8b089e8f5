// The nodes as a tree of module calls, and what of it is visible when some are folded.
//
// A group is a run of operations made one after another inside one module: a module called twice
// with other work in between makes two groups. Runs are intervals of the creation order, and edges
// go from older to younger, so groups never form a circle, whatever the program did.
"use strict";

(() => {
  const FEW = 6; // so many cards alone would say too little

  class Group {
    constructor(id, module, parent) {
      Object.assign(this, { id, module, parent, kind: "group", children: [], nodes: [] });
    }

    get name() {
      if (!this.module) return "";
      return this.module.path || this.module.kind;
    }
  }

  class Unit {
    constructor(node, parent) {
      Object.assign(this, {
        id: `n${node.id}`,
        kind: "unit",
        node,
        parent,
        pills: [],
        source: null,
      });
      this.nodes = [node];
    }
  }

  // An input that no gradient is asked for isn't on the tape: a sign where the data come in.
  class Source {
    constructor(unit, { label, image }) {
      Object.assign(this, {
        id: `s${unit.node.id}`,
        kind: "source",
        unit,
        label,
        image,
        nodes: [],
      });
      this.parent = unit.parent;
    }
  }

  function tree(model) {
    const root = new Group("root", null, null);
    const units = new Map();
    let open = [root];
    const enter = (chain) => {
      let depth = 0;
      while (depth < chain.length && open[depth + 1] && open[depth + 1].module === chain[depth])
        depth += 1;
      open = open.slice(0, depth + 1);
      for (const module of chain.slice(depth)) {
        const parent = open[open.length - 1];
        const group = new Group("", module, parent);
        parent.children.push(group);
        open.push(group);
      }
      return open[open.length - 1];
    };
    const place = (node, parent) => {
      const unit = new Unit(node, parent);
      parent.children.push(unit);
      units.set(node.id, unit);
      return unit;
    };
    const owned = new Set();
    const inputs = [];
    for (const node of [...model.nodes].sort((a, b) => a.number - b.number)) {
      const users = model.consumers[node.id];
      if (node.kind === "leaf") {
        if (users.length && !tape.isInput(node)) continue;
        inputs.push(place(node, root));
        root.children.pop(); // their place is before everything that uses them
        continue;
      }
      const unit = place(node, enter(model.chain(node)));
      for (const id of new Set(node.inputs.map((input) => input.node))) {
        const leaf = id === null ? null : model.nodes[id];
        if (!leaf || leaf.kind !== "leaf" || units.has(leaf.id)) continue;
        unit.pills.push({ node: leaf, first: !owned.has(leaf.id) });
        owned.add(leaf.id);
      }
      const first = node.inputs[0];
      const fed = node.inputs.some(
        (each) => each.node !== null && model.nodes[each.node].kind === "op",
      );
      if (first && first.node === null && !fed) unit.source = comesIn(model, node);
    }
    root.children.unshift(...inputs);
    simplify(root);
    number(root, { next: 0 });
    return { root, units };
  }

  function comesIn(model, node) {
    const kept = node.saved.find((each) => each.what === "input" && each.shape.length);
    return {
      label: kept ? `input ${kept.shape.join("×")}` : "input",
      image: model.image(node, "input"),
    };
  }

  // A module of a single operation needs no box: the operation carries its name.
  function simplify(group) {
    group.children = group.children.map((child) => {
      if (child.kind !== "group") return child;
      simplify(child);
      const only = child.children.length === 1 ? child.children[0] : null;
      if (!only || only.kind !== "unit") return child;
      only.parent = group;
      return only;
    });
    const all = [];
    for (const child of group.children) {
      for (const node of child.nodes) all.push(node);
      for (const pill of child.pills || []) if (pill.first) all.push(pill.node);
    }
    group.nodes = all;
  }

  function number(group, counter) {
    for (const child of group.children) {
      if (child.kind !== "group") continue;
      child.id = `g${counter.next}`;
      counter.next += 1;
      number(child, counter);
    }
  }

  const groupsOf = (group) =>
    group.children
      .filter((child) => child.kind === "group")
      .flatMap((child) => [child, ...groupsOf(child)]);

  // Modules to fold at first: level after level is open, as long as few things are to be seen.
  function startFolded(root, limit) {
    const folded = new Set(groupsOf(root));
    let shown = root.children.length;
    let level = root.children.filter((child) => child.kind === "group");
    while (level.length) {
      const more = level.reduce((sum, group) => sum + group.children.length - 1, 0);
      if (shown + more > limit && shown > FEW) break;
      shown += more;
      for (const group of level) folded.delete(group);
      level = level.flatMap((group) => group.children.filter((child) => child.kind === "group"));
    }
    return folded;
  }

  // The item that stands for a node: itself, or the outermost folded module around it.
  function shownItem(unit, folded) {
    let item = unit;
    for (let group = unit.parent; group; group = group.parent) if (folded.has(group)) item = group;
    return item;
  }

  // Edges between shown items; each knows the tape's edges it stands for.
  function shownEdges(model, units, folded) {
    const edges = new Map();
    const shown = new Map();
    for (const unit of units.values()) shown.set(unit, shownItem(unit, folded));
    for (const unit of units.values()) {
      const target = shown.get(unit);
      if (unit.source !== null && target === unit) {
        const source = new Source(unit, unit.source);
        edges.set(source.id, { source, target, pairs: [] });
      }
      for (const input of unit.node.inputs) {
        const from = input.node === null ? null : units.get(input.node);
        if (!from) continue;
        const source = shown.get(from);
        if (source === target) continue;
        const key = `${source.id}>${target.id}`;
        if (!edges.has(key)) edges.set(key, { source, target, pairs: [] });
        edges.get(key).pairs.push([unit.node.id, from.node.id]);
      }
    }
    return [...edges.values()];
  }

  Object.assign(tape, { tree, groupsOf, startFolded, shownItem, shownEdges });
})();
