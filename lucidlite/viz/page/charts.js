// Histograms as bars and images with their range of values.
"use strict";

(() => {
  const { html, svg, number } = tape;

  // Bars as high as their counts; `log` lets the rare values show beside a tall bar at zero.
  function bars(histogram, log) {
    const [w, h, foot] = [320, 92, 18];
    const { low, high, counts } = histogram;
    const scale = (n) => (log ? Math.log1p(n) : n);
    const most = scale(Math.max(1, ...counts));
    const step = w / counts.length;
    const width = (high - low) / counts.length;
    const all = counts.reduce((a, b) => a + b, 0);
    const drawing = svg("svg", {
      class: "histogram",
      viewBox: `0 0 ${w} ${h + foot}`,
      role: "img",
      "aria-label": `Histogram of ${all} values from ${number(low)} to ${number(high)}`,
    });
    counts.forEach((n, i) => {
      const height = n ? Math.max(1.5, (scale(n) / most) * (h - 6)) : 0;
      const from = low + i * width;
      const side = from + width <= 0 ? "below" : from >= 0 ? "above" : "around";
      drawing.append(
        svg(
          "g",
          { class: `bar ${side}` },
          svg("rect", { class: "hit", x: i * step, y: 0, width: step, height: h }),
          svg("rect", {
            class: "fill",
            x: i * step + 0.6,
            y: h - height,
            width: Math.max(step - 1.2, 0.5),
            height,
            rx: 1,
          }),
          svg(
            "title",
            {},
            `${n.toLocaleString("en")} values from ${number(from)} to ${number(from + width)}`,
          ),
        ),
      );
    });
    drawing.append(svg("line", { class: "base", x1: 0, x2: w, y1: h, y2: h }));
    if (low < 0 && high > 0) {
      const zero = (-low / (high - low)) * w;
      drawing.append(svg("line", { class: "zero", x1: zero, x2: zero, y1: 0, y2: h + 4 }));
      if (zero > 70 && zero < w - 70) {
        drawing.append(svg("text", { x: zero, y: h + 15, "text-anchor": "middle" }, "0"));
      }
    }
    drawing.append(
      svg("text", { x: 0, y: h + 15 }, number(low)),
      svg("text", { x: w, y: h + 15, "text-anchor": "end" }, number(high)),
    );
    return drawing;
  }

  function histogram(data) {
    const box = html("div", { class: "chart" });
    const all = data.counts.reduce((a, b) => a + b, 0);
    const spike =
      Math.max(...data.counts) > 0.7 * all && data.counts.filter((n) => n > 0).length > 1;
    const toggle = html(
      "button",
      {
        type: "button",
        class: "small",
        "aria-pressed": String(spike),
        title: "Counts on a logarithmic scale",
        onclick: () => {
          const log = toggle.getAttribute("aria-pressed") === "false";
          toggle.setAttribute("aria-pressed", String(log));
          box.firstChild.replaceWith(bars(data, log));
        },
      },
      "log",
    );
    box.append(bars(data, spike), toggle);
    return box;
  }

  const SCALES = { grey: "grey", windows: "grey", diverging: "diverging" };

  // Pixels stay pixels: shown at a whole multiple of their size where that fits.
  function picture(image, title, room) {
    const times = Math.max(1, Math.floor(room / image.width));
    const width = Math.min(room, image.width * Math.min(times, 14));
    const scale = SCALES[image.scale];
    return html(
      "figure",
      { class: "picture" },
      html("figcaption", { class: "name" }, title),
      html("img", {
        src: image.src,
        width,
        height: Math.round((width * image.height) / image.width),
        alt: `${title}: ${image.caption}`,
        class: width < image.width ? "shrunk" : null,
        "data-image": image.id,
      }),
      html("figcaption", {}, image.caption),
      scale && image.low !== null
        ? html(
            "div",
            { class: "range" },
            html("span", {}, number(image.low)),
            html("span", { class: `ramp ${scale}`, "aria-hidden": "true" }),
            html("span", {}, number(image.high)),
          )
        : null,
    );
  }

  Object.assign(tape, { histogram, picture });
})();
