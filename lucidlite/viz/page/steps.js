// Going through a pass node by node: forward as it was recorded, backward as the engine took it.
"use strict";

(() => {
  const { html, byId } = tape;
  const chipsAtOnce = () => (matchMedia("(max-width: 760px)").matches ? 3 : 9);

  class Steps {
    // `changed(state, node)` is called with what is to be lit and the node of the step, if any.
    constructor(model, changed, go) {
      Object.assign(this, {
        model,
        changed,
        go,
        pass: "backward",
        position: 0,
        timer: null,
        idle: true,
      });
      byId("first").addEventListener("click", () => this.to(0));
      byId("previous").addEventListener("click", () => this.to(this.position - 1));
      byId("next").addEventListener("click", () => this.to(this.position + 1));
      byId("last").addEventListener("click", () => this.to(this.length));
      byId("play").addEventListener("click", () => this.play());
      byId("slider").addEventListener("input", (event) => this.to(Number(event.target.value)));
      for (const pass of ["forward", "backward"]) {
        byId(`pass-${pass}`).addEventListener("click", () => this.choose(pass));
      }
      byId("pass-forward").parentElement.addEventListener("keydown", (event) => {
        if (!/^Arrow/.test(event.key)) return;
        event.preventDefault();
        event.stopPropagation();
        this.choose(this.pass === "forward" ? "backward" : "forward");
        byId(`pass-${this.pass}`).focus();
      });
      this.choose("backward");
    }

    get length() {
      return this.pass === "backward" ? this.model.steps.length : this.model.created.length;
    }

    choose(pass) {
      this.stop();
      this.pass = pass;
      for (const each of ["forward", "backward"]) {
        byId(`pass-${each}`).setAttribute("aria-checked", String(each === pass));
        byId(`pass-${each}`).tabIndex = each === pass ? 0 : -1;
      }
      byId("slider").max = this.length;
      this.idle = true;
      this.to(0, true);
    }

    to(position, start = false) {
      if (!start) this.idle = false;
      this.position = Math.min(this.length, Math.max(0, position));
      byId("slider").value = this.position;
      byId("position").textContent = `${this.position} / ${this.length}`;
      const backward = this.pass === "backward";
      const what = backward ? "gradients taken" : "operations recorded";
      byId("slider").setAttribute("aria-valuetext", `${this.position} of ${this.length} ${what}`);
      for (const [id, off] of [
        ["first", 0],
        ["previous", 0],
        ["next", this.length],
        ["last", this.length],
      ]) {
        byId(id).setAttribute("aria-disabled", String(this.position === off));
      }
      const index = this.position - 1;
      byId("why").replaceChildren(...(backward ? this.why(index) : this.recorded(index)));
      this.changed(this.state(), index < 0 ? null : this.at(index));
      if (this.position === this.length) this.stop();
    }

    at(index) {
      return this.model.nodes[
        this.pass === "backward" ? this.model.steps[index].node : this.model.created[index]
      ];
    }

    // What the drawing shows: the node, those before it, those that wait, edges just used.
    state() {
      const index = this.position - 1;
      const { model, pass } = this;
      const state = {
        pass: this.idle ? null : pass,
        current: null,
        visited: new Set(),
        waiting: new Set(),
        lit: new Set(),
      };
      if (this.idle) return state;
      for (let i = 0; i < index; i += 1)
        state.visited.add(pass === "backward" ? model.steps[i].node : model.created[i]);
      if (pass === "forward")
        for (const id of [...state.visited])
          this.leaves(id).forEach((leaf) => state.visited.add(leaf));
      if (index < 0) {
        if (pass === "backward") for (const id of model.waiting(0)) state.waiting.add(id);
        return state;
      }
      const node = this.at(index);
      state.current = node.id;
      if (pass === "backward") {
        for (const each of model.steps[index].delivers) state.lit.add(`${node.id} ${each.node}`);
        for (const id of model.waiting(index + 1)) state.waiting.add(id);
      } else {
        for (const input of node.inputs)
          if (input.node !== null) state.lit.add(`${node.id} ${input.node}`);
      }
      return state;
    }

    leaves(id) {
      const found = this.model.nodes[id].inputs.map((each) => each.node);
      return found.filter((leaf) => leaf !== null && this.model.nodes[leaf].kind === "leaf");
    }

    chip(id, name = "") {
      const node = this.model.nodes[id];
      return html(
        "button",
        {
          type: "button",
          class: `chip ${name}`,
          "data-chip": id,
          onclick: () => this.go(`n${id}`),
        },
        html("span", { class: "nr" }, node.number),
        this.model.name(node),
      );
    }

    chips(ids, first = "") {
      const shown = ids.slice(0, chipsAtOnce()).map((id, i) => this.chip(id, i === 0 ? first : ""));
      const rest = ids.length - shown.length;
      return [
        ...shown,
        rest > 0 ? html("span", { class: "rest" }, ` and ${rest} more`) : null,
      ].filter(Boolean);
    }

    why(index) {
      const { model } = this;
      if (index < 0) {
        return [
          html(
            "p",
            {},
            "Backward starts with the gradient of the output: ",
            ...this.chips(model.waiting(0), "taken"),
            " waits.",
          ),
          html(
            "p",
            { class: "sent hint" },
            "Step on to follow the engine: right arrow on, left arrow back, space plays.",
          ),
        ];
      }
      const step = model.steps[index];
      const waiting = model.waiting(index);
      const youngest = model.nodes[waiting[0]].number;
      const line = html(
        "p",
        {},
        html("b", {}, "Why this one? "),
        waiting.length > 1
          ? `Of ${waiting.length} that wait, ${youngest} is the youngest, ` +
              "so all that used its output has been visited: "
          : "Nothing else waits: ",
        ...this.chips(waiting, "taken"),
      );
      return [line, html("p", { class: "sent" }, ...this.sent(step))];
    }

    sent(step) {
      const node = this.model.nodes[step.node];
      if (node.kind === "leaf")
        return ["A leaf: the summed gradient goes into ", html("b", {}, `${node.label}.grad`), "."];
      if (!step.delivers.length) return ["It sends nothing on."];
      const parts = ["Sends gradients to "];
      step.delivers.forEach((each, i) => {
        if (i) parts.push(i === step.delivers.length - 1 ? " and " : ", ");
        parts.push(this.chip(each.node));
        if (!each.first) parts.push(" (added to what waited there)");
      });
      return [...parts, "."];
    }

    recorded(index) {
      const { model } = this;
      if (index < 0)
        return [
          html(
            "p",
            {},
            "The forward pass records operations one after another. Step on to follow it.",
          ),
        ];
      const node = this.at(index);
      const from = [
        ...new Set(node.inputs.filter((each) => each.node !== null).map((each) => each.node)),
      ];
      const kept = node.saved_bytes
        ? `keeps ${tape.bytes(node.saved_bytes)} for backward`
        : "keeps nothing for backward";
      return [
        html(
          "p",
          {},
          html("b", {}, "Recorded "),
          this.chip(node.id, "taken"),
          from.length ? " from " : "",
          ...this.chips(from),
          `: ${kept}.`,
        ),
        html(
          "p",
          { class: "sent" },
          node.site ? `${node.site.file}:${node.site.line}  ${node.site.text || ""}` : "",
        ),
      ];
    }

    play() {
      if (this.timer) {
        this.stop();
        return;
      }
      if (this.position === this.length) this.to(0);
      const pause = Math.max(60, Math.min(900, 30000 / Math.max(1, this.length)));
      byId("why").setAttribute("aria-live", "off");
      byId("play").classList.add("on");
      byId("play").setAttribute("aria-label", "Pause");
      this.timer = setInterval(() => this.to(this.position + 1), pause);
      this.to(this.position + 1);
    }

    stop() {
      if (this.timer) clearInterval(this.timer);
      this.timer = null;
      byId("why").setAttribute("aria-live", "polite");
      byId("play").classList.remove("on");
      byId("play").setAttribute("aria-label", "Play");
    }
  }

  Object.assign(tape, { Steps });
})();
