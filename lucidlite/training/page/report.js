"use strict";
// Tells the values under the pointer, or under a cursor that the arrow keys move. Without it the
// page shows all it has.
const data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";

const nearest = (values, wanted) => {
  let best = 0;
  values.forEach((value, i) => {
    if (Math.abs(value - wanted) < Math.abs(values[best] - wanted)) best = i;
  });
  return best;
};

const number = (value, unit) => {
  if (unit === "%" && value < 100) value = Math.min(value, 99.99); // what isn't all isn't 100
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
};

for (const box of document.querySelectorAll(".chart")) {
  const chart = data.charts[box.dataset.chart];
  const plot = box.querySelector(".plot");
  const tip = box.querySelector(".tip");
  const cursor = plot.querySelector(".cursor");
  const [left, right, top, base] = chart.frame;
  const all = [...new Set(chart.lines.flatMap((line) => line.x))].sort((a, b) => a - b);
  if (!all.length) continue;
  let at = all.length - 1;

  const place = (x) => left + ((right - left) * x) / chart.x;
  const height = (y) => base - ((base - top) * (y - chart.y[0])) / (chart.y[1] - chart.y[0]);
  const hide = () => {
    tip.hidden = true;
    cursor.replaceChildren();
  };
  const show = (index) => {
    at = Math.max(0, Math.min(all.length - 1, index));
    const x = all[at];
    const said = [`epoch ${Number(x.toFixed(2))}`];
    const marks = [];
    for (const line of chart.lines) {
      if (!line.x.length) continue;
      const i = nearest(line.x, x);
      const where = line.said && line.x[i] !== x ? ` (epoch ${line.x[i]})` : "";
      const value = line.said ? line.said[i] : number(line.y[i], chart.unit) + chart.unit;
      said.push(`${line.name}: ${value}${where}`);
      const dot = document.createElementNS(SVG, "circle");
      dot.setAttribute("class", `dot ${line.kind}`);
      dot.setAttribute("cx", place(line.x[i]));
      dot.setAttribute("cy", height(line.y[i]));
      dot.setAttribute("r", 5);
      marks.push(dot);
    }
    const rule = document.createElementNS(SVG, "line");
    for (const [name, value] of [["x1", place(x)], ["x2", place(x)], ["y1", top], ["y2", base]]) {
      rule.setAttribute(name, value);
    }
    cursor.replaceChildren(rule, ...marks);
    tip.textContent = said.join("\n");
    tip.hidden = false;
    const scale = plot.clientWidth / plot.viewBox.baseVal.width;
    const area = plot.getBoundingClientRect();
    const frame = box.getBoundingClientRect();
    const wanted = area.left - frame.left + place(x) * scale + 14;
    const room = frame.width - tip.offsetWidth - 6;
    const flipped = wanted > room ? wanted - tip.offsetWidth - 28 : wanted;
    tip.style.left = `${Math.max(6, Math.min(room, flipped))}px`;
    tip.style.top = `${area.top - frame.top + 8}px`;
  };
  plot.addEventListener("pointermove", (event) => {
    const area = plot.getBoundingClientRect();
    const x = ((event.clientX - area.left) / area.width) * plot.viewBox.baseVal.width;
    show(nearest(all, ((x - left) / (right - left)) * chart.x));
  });
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("focus", () => plot.matches(":focus-visible") && show(at));
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    const end = { Home: 0, End: all.length - 1 }[event.key];
    if (step === undefined && end === undefined && event.key !== "Escape") return;
    event.preventDefault();
    if (event.key === "Escape") hide();
    else show(end === undefined ? at + step : end);
  });
}

const matrix = document.querySelector(".matrix");
if (matrix && data.matrix) {
  const { names, cells } = data.matrix;
  const count = names.length;
  const found = new Map(cells.map(([truth, said, n]) => [truth * count + said, n]));
  const read = document.querySelector(".read");
  let row = 0;
  let column = 0;
  const tell = () => {
    const n = found.get(row * count + column) || 0;
    const images = `${n} ${n === 1 ? "image" : "images"}`;
    read.textContent =
      row === column
        ? `${images} of “${names[row]}” told right`
        : `${images} of “${names[row]}” taken for “${names[column]}”`;
  };
  matrix.addEventListener("pointermove", (event) => {
    const area = matrix.querySelector("img").getBoundingClientRect();
    const cell = (at, start, size) => Math.max(0, Math.min(count - 1, Math.floor(((at - start) / size) * count)));
    row = cell(event.clientY, area.top, area.height);
    column = cell(event.clientX, area.left, area.width);
    tell();
  });
  matrix.addEventListener("keydown", (event) => {
    const [down, across] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] || [0, 0];
    if (!down && !across) return;
    event.preventDefault();
    row = Math.max(0, Math.min(count - 1, row + down));
    column = Math.max(0, Math.min(count - 1, column + across));
    tell();
  });
}
