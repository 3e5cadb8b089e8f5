// Light or dark: as the system prefers, until the reader chooses. In the head, so that nothing is
// drawn before.
"use strict";

(() => {
  const { dataset } = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let chosen = false;

  const follow = () => {
    if (!chosen) dataset.theme = dark.matches ? "dark" : "light";
  };
  const turn = () => {
    chosen = true;
    dataset.theme = dataset.theme === "dark" ? "light" : "dark";
  };

  dark.addEventListener("change", follow);
  follow();
  Object.assign(tape, { turn });
})();
