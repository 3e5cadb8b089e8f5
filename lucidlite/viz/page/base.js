// What every other file uses: making elements, and numbers as people read them.
"use strict";

const tape = {};

(() => {
  const SVG = "http://www.w3.org/2000/svg";

  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value === true ? "" : value);
    }
    // Text comes from a user's program: it becomes text nodes, never markup.
    for (const child of children) {
      if (child === null || child === undefined || child === false) continue;
      element.append(child instanceof Node ? child : String(child));
    }
    return element;
  }

  const html = (tag, attributes, ...children) =>
    fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes, ...children) =>
    fill(document.createElementNS(SVG, tag), attributes, children);
  const byId = (id) => document.getElementById(id);

  function bytes(count) {
    if (count === null || count === undefined) return "–";
    if (count < 1024) return `${count} B`;
    const units = ["KiB", "MiB", "GiB", "TiB"];
    let value = count / 1024;
    let unit = 0;
    while (value >= 1000 && unit < units.length - 1) {
      value /= 1024;
      unit += 1;
    }
    return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${units[unit]}`;
  }

  function time(milliseconds) {
    if (milliseconds === null || milliseconds === undefined) return "–";
    if (milliseconds === 0) return "0 ms";
    if (milliseconds < 0.0995) return `${(milliseconds * 1000).toPrecision(2)} µs`;
    if (milliseconds < 1000) return `${Number(milliseconds.toPrecision(3))} ms`;
    return `${(milliseconds / 1000).toPrecision(3)} s`;
  }

  function number(value) {
    if (value === null || value === undefined) return "–";
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (Number.isInteger(value) && size < 1e6) return minus(String(value));
    if (size >= 1e5 || size < 1e-3) return minus(value.toExponential(2));
    return minus(String(Number(value.toPrecision(4))));
  }

  const minus = (text) => text.replace(/-/g, "\u2212");

  function percent(fraction) {
    if (fraction === null || fraction === undefined) return "–";
    if (fraction === 0) return "0 %";
    if (fraction < 0.001) return "< 0.1 %";
    if (fraction > 0.999 && fraction < 1) return "> 99.9 %";
    return `${Number((fraction * 100).toPrecision(3))} %`;
  }

  const shape = (sizes) => (sizes.length ? sizes.join(" × ") : "scalar");
  const count = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many || `${one}s`}`;

  // Widths of text, for cards that fit it and labels that end in an ellipsis where they don't.
  const FONTS = {
    op: "600 13px system-ui, sans-serif",
    shape: "11.5px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace",
    small: "10.5px system-ui, sans-serif",
    pill: "10.5px system-ui, sans-serif",
    group: "600 12px system-ui, sans-serif",
  };
  const context = document.createElement("canvas").getContext("2d");
  const widths = new Map();

  function width(text, font) {
    const key = `${font}|${text}`;
    let found = widths.get(key);
    if (found === undefined) {
      context.font = FONTS[font];
      found = context.measureText(text).width;
      widths.set(key, found);
    }
    return found;
  }

  // The end of a module path tells more than its start: `from` says which side is kept.
  function clip(text, font, room, from = "start") {
    if (width(text, font) <= room) return text;
    let low = 0;
    let high = text.length;
    const cut = (n) =>
      from === "start" ? `${text.slice(0, n)}…` : `…${text.slice(text.length - n)}`;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (width(cut(middle), font) <= room) low = middle;
      else high = middle - 1;
    }
    return cut(low);
  }

  const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
  const say = (text) => {
    byId("live").textContent = text;
  };

  Object.assign(tape, {
    html,
    svg,
    byId,
    bytes,
    time,
    number,
    percent,
    shape,
    count,
    width,
    clip,
    calm,
    say,
  });
})();
