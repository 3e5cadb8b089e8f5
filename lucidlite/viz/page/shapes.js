// What a card, a pill, a box and a line look like: their sizes, and their elements near and far.
"use strict";

(() => {
  const { svg, width, clip } = tape;
  const CARD = { w: 214, h: 66, thumb: 50 };
  const PILL = { h: 22, gap: 4, most: 176, away: 16 };
  const SOURCE = { h: 24, image: 76 };

  const titled = (text) => svg("title", {}, text);

  function pillText(node) {
    const own = tape.shortLabel(node).split(".").pop();
    const sizes = node.outputs[0] ? node.outputs[0].shape.join("×") : "";
    return { own, sizes };
  }

  function pillWidth(node) {
    const { own, sizes } = pillText(node);
    return Math.min(PILL.most, width(own, "pill") + width(sizes, "pill") + 28);
  }

  // The sizes that the layout needs: width, height, and where lines meet the card, which may be
  // lower than its pills.
  function size(item) {
    item.card = CARD.w;
    if (item.kind === "source") {
      item.w = width(item.label, "small") + 24;
      item.card = item.w;
      item.h = SOURCE.h + (item.image ? SOURCE.image + 6 : 0);
      item.cardHeight = item.h;
      item.port = item.w / 2;
      return;
    }
    const pills = item.kind === "unit" ? item.pills : [];
    const stack = pills.length * (PILL.h + PILL.gap) - PILL.gap;
    const side = Math.max(0, ...pills.map((pill) => pillWidth(pill.node)));
    const leaf = item.kind === "unit" && item.node.kind === "leaf";
    const own = leaf ? 44 : CARD.h;
    item.w = CARD.w + (pills.length ? PILL.away + side : 0);
    item.h = Math.max(own, stack);
    item.cardHeight = own;
    item.port = CARD.w / 2;
    pills.forEach((pill, index) => {
      pill.x = CARD.w + PILL.away;
      pill.w = pillWidth(pill.node);
      pill.y = Math.max(0, (own - stack) / 2) + index * (PILL.h + PILL.gap);
    });
  }

  function groupLabel(group) {
    const name = group.name;
    const kind = group.module.path ? group.module.kind : "";
    const calls = group.module.calls > 1 ? ` call ${group.module.call}` : "";
    const shown = clip(name, "group", 220, "end");
    return {
      name: shown,
      kind: kind + calls,
      width: width(shown, "group") + width(kind + calls, "small") + 34,
    };
  }

  function thumb(item, image) {
    if (!image) return [];
    const x = CARD.w - CARD.thumb - 8;
    const y = (item.cardHeight - CARD.thumb) / 2;
    return [
      svg("rect", { class: "thumb-back", x, y, width: CARD.thumb, height: CARD.thumb, rx: 5 }),
      svg("image", {
        class: `thumb${image.width > CARD.thumb * 2 ? " smooth" : ""}`,
        x: x + 1,
        y: y + 1,
        width: CARD.thumb - 2,
        height: CARD.thumb - 2,
        href: image.src,
        preserveAspectRatio: "xMidYMid meet",
      }),
    ];
  }

  function texts(item, lines, image) {
    const room = CARD.w - 28 - (image ? CARD.thumb + 6 : 0);
    const [op, shape, small] = lines;
    const two = !small;
    const at = two ? (item.cardHeight < 60 ? [18, 34] : [28, 46]) : [21, 38, 54];
    return [
      svg("text", { class: "op", x: 16, y: at[0] }, clip(op, "op", room)),
      svg("text", { class: "shape", x: 16, y: at[1] }, clip(shape, "shape", room)),
      small
        ? svg("text", { class: "small", x: 16, y: at[2] }, clip(small, "small", room, "end"))
        : null,
    ];
  }

  // The stripe at a card's left, rounded with the card.
  const stripe = (h) =>
    svg("path", {
      class: "stripe",
      d: `M6 0.84V${h - 0.84}A10 10 0 0 1 0 ${h - 10}V10A10 10 0 0 1 6 0.84Z`,
    });

  const outputShape = (node) =>
    node.outputs.length
      ? tape.shape(node.outputs[0].shape) +
        (node.outputs.length > 1 ? ` +${node.outputs.length - 1}` : "")
      : "";

  function unit(item, model, image) {
    const { node } = item;
    const where = model.where(node);
    const leaf = node.kind === "leaf";
    const lines = leaf
      ? [tape.shortLabel(node), outputShape(node)]
      : [node.op, outputShape(node), where];
    const g = svg("g", {
      id: `item-${item.id}`,
      class: `item unit fam-${tape.family(node)}${tape.broken(node) ? " broken" : ""}`,
      "data-item": item.id,
      "data-node": node.id,
      role: "button",
      "aria-label": `${model.name(node)} ${outputShape(node)} ${where}`,
    });
    g.append(
      svg("rect", { class: "card", width: CARD.w, height: item.cardHeight, rx: 10 }),
      stripe(item.cardHeight),
      ...texts(item, lines, image).filter(Boolean),
      ...thumb(item, image),
      titled(leaf ? node.label : `${node.op} (${node.name})${where ? `\n${where}` : ""}`),
    );
    if (tape.broken(node)) g.append(...badge(node));
    for (const pill of item.pills) g.append(...pillParts(item, pill));
    return g;
  }

  const badge = (node) => {
    const text = [node.gradient.nan ? "NaN" : null, node.gradient.inf ? "inf" : null]
      .filter(Boolean)
      .join(" ");
    const w = width(text, "group") + 14;
    return [
      svg("rect", { class: "badge", x: CARD.w - w - 6, y: -9, width: w, height: 18, rx: 9 }),
      svg(
        "text",
        { class: "badge-text", x: CARD.w - w / 2 - 6, y: 4, "text-anchor": "middle" },
        text,
      ),
    ];
  };

  function pillParts(item, pill) {
    const { own, sizes } = pillText(pill.node);
    const y = pill.y + PILL.h / 2;
    const start = Math.min(Math.max(y, 10), item.cardHeight - 10);
    const room = pill.w - 20;
    const shownSizes = width(sizes, "pill") > room * 0.7 ? "" : sizes;
    const left = clip(own, "pill", room - (shownSizes ? width(shownSizes, "pill") + 5 : 0), "end");
    return [
      svg("path", {
        class: "wire",
        "data-wire": pill.node.id,
        d: `M${pill.x} ${y}C${pill.x - 9} ${y} ${CARD.w + 9} ${start} ${CARD.w} ${start}`,
      }),
      svg(
        "g",
        {
          class: `pill${pill.first ? "" : " again"}${tape.broken(pill.node) ? " broken" : ""}`,
          transform: `translate(${pill.x} ${pill.y})`,
          [pill.first ? "data-node" : "data-again"]: pill.node.id,
          role: "button",
          "aria-label": `${pill.node.label} ${sizes}`,
        },
        svg("rect", { width: pill.w, height: PILL.h, rx: PILL.h / 2 }),
        svg("text", { x: 11, y: 14.5 }, left, svg("tspan", { class: "sizes", dx: 5 }, shownSizes)),
        titled(`${pill.node.label} ${sizes}${pill.first ? "" : " (used before, too)"}`),
      ),
    ];
  }

  function folded(item, model, image) {
    const ops = item.nodes.filter((node) => node.kind === "op").sort((a, b) => a.number - b.number);
    const last = ops[ops.length - 1];
    const kind = item.module.path ? `${item.module.kind} · ` : "";
    const lines = [
      item.name,
      last ? outputShape(last) : "",
      `${kind}${tape.count(ops.length, "op")}`,
    ];
    const h = item.cardHeight;
    const g = svg("g", {
      id: `item-${item.id}`,
      class: "item folded",
      "data-item": item.id,
      "data-group": item.id,
      role: "button",
      "aria-expanded": "false",
      "aria-label": `module ${lines.join(", ")}, folded`,
    });
    const fold = svg(
      "g",
      { class: "fold", "data-fold": item.id },
      svg("rect", { x: 4, y: 9, width: 22, height: 22, rx: 6 }),
      svg("path", { d: "M12 15l6 5-6 5z" }),
      titled("Unfold"),
    );
    g.append(
      svg("rect", { class: "card under", x: 8, y: 8, width: CARD.w - 8, height: h - 4, rx: 10 }),
      svg("rect", { class: "card under", x: 4, y: 4, width: CARD.w - 4, height: h - 4, rx: 10 }),
      svg("rect", { class: "card", width: CARD.w - 4, height: h - 4, rx: 10 }),
      fold,
    );
    const parts = texts({ cardHeight: h }, lines, image).filter(Boolean);
    parts.forEach((part) => part.setAttribute("x", 30));
    const room = CARD.w - 46 - (image ? CARD.thumb + 6 : 0);
    parts[0].textContent = clip(lines[0], "op", room, "end");
    parts[1].textContent = clip(lines[1], "shape", room);
    parts[2].textContent = clip(lines[2], "small", room);
    g.append(
      ...parts,
      ...thumb(item, image),
      titled(`${item.module.brief}\nEnter or double click unfolds`),
    );
    return g;
  }

  function source(item) {
    const g = svg("g", { class: "item source", "data-item": item.id });
    const top = item.h - SOURCE.h;
    if (item.image) {
      const x = (item.w - SOURCE.image) / 2;
      g.append(
        svg("image", {
          class: "thumb",
          x,
          y: 0,
          width: SOURCE.image,
          height: SOURCE.image,
          href: item.image.src,
          preserveAspectRatio: "xMidYMax meet",
        }),
      );
    }
    g.append(
      svg("rect", { y: top, width: item.w, height: SOURCE.h, rx: 12 }),
      svg("text", { x: item.w / 2, y: top + 16, "text-anchor": "middle" }, item.label),
      titled("No gradient is asked for here, so the tape has no node for it"),
    );
    return g;
  }

  function item(thing, model, image) {
    const g =
      thing.kind === "source"
        ? source(thing)
        : thing.kind === "group"
          ? folded(thing, model, image)
          : unit(thing, model, image);
    g.setAttribute("transform", `translate(${thing.x} ${thing.y})`);
    return g;
  }

  function box(group) {
    const label = groupLabel(group);
    const g = svg("g", {
      id: `item-${group.id}`,
      class: `box depth-${group.depth % 2}`,
      "data-item": group.id,
      "data-group": group.id,
      transform: `translate(${group.x} ${group.y})`,
      role: "button",
      "aria-expanded": "true",
      "aria-label": `module ${group.name} ${group.module.kind}, unfolded`,
    });
    const head = svg(
      "g",
      { class: "head", transform: `translate(${group.slot} 0)`, "data-fold": group.id },
      svg("rect", { class: "grip", x: -4, y: 6, width: label.width + 4, height: 22, rx: 6 }),
      svg("path", { class: "turn", d: "M3 14h10l-5 6z" }),
      svg(
        "text",
        { class: "name", x: 20, y: 21 },
        label.name,
        svg("tspan", { class: "kind", dx: 6 }, label.kind),
      ),
      titled(`${group.module.brief}\nClick folds`),
    );
    g.append(svg("rect", { class: "frame", width: group.w, height: group.h, rx: 14 }), head);
    return g;
  }

  function data(edge) {
    edge.d = edge.d || tape.path(edge.points);
    return edge.d;
  }

  function line(edge) {
    return svg("path", {
      class: "edge",
      d: data(edge),
      "data-edge": `${edge.source.id}>${edge.target.id}`,
      "marker-end": "url(#down)",
    });
  }

  Object.assign(tape, { size, groupLabel, shapes: { item, box, line, data, CARD, PILL } });
})();
