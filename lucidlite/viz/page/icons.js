// The signs on buttons: paths on a field of 16 by 16.
"use strict";

(() => {
  const { svg } = tape;

  const ICONS = {
    "zoom-in": ["M7 3h2v4h4v2H9v4H7V9H3V7h4z"],
    "zoom-out": ["M3 7h10v2H3z"],
    fit: ["M2 2h5v2H4v3H2zM9 2h5v5h-2V4H9zM2 9h2v3h3v2H2zM12 9h2v5H9v-2h3z"],
    unfold: ["M8 1l4 4H4zM8 15l-4-4h8zM2 7h12v2H2z"],
    fold: ["M8 6L4 2h8zM8 10l4 4H4zM2 7h12v2H2z"],
    first: ["M3 3h2v10H3zM13 3v10L6 8z"],
    previous: ["M12 3v10L4 8z"],
    play: ["M4 2.5v11L13 8z", "M4 3h3v10H4zM9 3h3v10H9z"],
    next: ["M4 3v10l8-5z"],
    last: ["M11 3h2v10h-2zM3 3v10l7-5z"],
  };

  for (const button of document.querySelectorAll("[data-icon]")) {
    const [path, other] = ICONS[button.dataset.icon];
    button.append(
      svg(
        "svg",
        { viewBox: "0 0 16 16", "aria-hidden": "true" },
        svg("path", { class: "one", d: path }),
        other ? svg("path", { class: "other", d: other }) : null,
      ),
    );
  }
})();
