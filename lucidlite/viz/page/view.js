// Where the window looks: dragging, pinching, the wheel, and moves that glide.
"use strict";

(() => {
  const LEAST = 0.002;
  const MOST = 4;
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  class View {
    constructor(stage, drawing) {
      Object.assign(this, { stage, drawing, x: 0, y: 0, k: 1, moved: false });
      this.pointers = new Map();
      this.listen();
      new ResizeObserver(() => this.resized()).observe(stage);
    }

    get size() {
      return { w: this.stage.clientWidth, h: this.stage.clientHeight };
    }

    // What was in the middle stays there when the window or the panel beside it changes.
    resized() {
      const { w } = this.size;
      if (w && this.width) this.x += (w - this.width) / 2;
      this.width = w || this.width;
      this.apply();
    }

    apply() {
      if (this.scheduled) return;
      this.scheduled = true;
      requestAnimationFrame(() => {
        this.scheduled = false;
        this.drawing.look({ x: this.x, y: this.y, k: this.k, ...this.size });
      });
    }

    listen() {
      const { stage } = this;
      stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
      stage.addEventListener("pointerdown", (event) => {
        if (event.button > 0) return;
        this.stop();
        this.moved = this.pointers.size > 0 && this.moved;
        this.pointers.set(event.pointerId, {
          x: event.clientX,
          y: event.clientY,
          x0: event.clientX,
          y0: event.clientY,
        });
      });
      stage.addEventListener("pointermove", (event) => this.drag(event));
      const end = (event) => {
        this.pointers.delete(event.pointerId);
        stage.classList.toggle("dragging", this.pointers.size > 0 && this.moved);
      };
      for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, end);
    }

    drag(event) {
      const held = this.pointers.get(event.pointerId);
      if (!held) return;
      const before = [...this.pointers.values()].map(({ x, y }) => ({ x, y }));
      const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
      if (!this.moved && Math.hypot(event.clientX - held.x0, event.clientY - held.y0) < 5) return;
      if (!this.moved) {
        this.moved = true;
        this.stage.classList.add("dragging");
        this.stage.setPointerCapture(event.pointerId);
      }
      held.x = event.clientX;
      held.y = event.clientY;
      if (this.pointers.size === 1) {
        this.x += dx;
        this.y += dy;
      } else if (this.pointers.size === 2) this.pinch(before, [...this.pointers.values()]);
      this.apply();
    }

    pinch(before, now) {
      const middle = ([a, b]) => [(a.x + b.x) / 2, (a.y + b.y) / 2];
      const apart = ([a, b]) => Math.hypot(a.x - b.x, a.y - b.y) || 1;
      const [x, y] = middle(now);
      const [x0, y0] = middle(before);
      this.x += x - x0;
      this.y += y - y0;
      const { left, top } = this.stage.getBoundingClientRect();
      this.zoom(apart(now) / apart(before), x - left, y - top);
    }

    wheel(event) {
      // Inside another page, scrolling past must not be caught: the wheel counts after a click.
      if (window.self !== window.top && document.activeElement !== this.stage && !event.ctrlKey)
        return;
      event.preventDefault();
      this.stop();
      const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        this.x -= (event.deltaX || event.deltaY) * unit;
        this.y -= event.deltaX ? event.deltaY * unit : 0;
        this.apply();
        return;
      }
      const { left, top } = this.stage.getBoundingClientRect();
      const step = clamp(event.deltaY * unit * (event.ctrlKey ? 6 : 1), -240, 240);
      this.zoom(Math.exp(-step * 0.0016), event.clientX - left, event.clientY - top);
    }

    zoom(factor, x = this.size.w / 2, y = this.size.h / 2) {
      const k = clamp(this.k * factor, LEAST, MOST);
      this.x = x - ((x - this.x) * k) / this.k;
      this.y = y - ((y - this.y) * k) / this.k;
      this.k = k;
      this.apply();
    }

    world(clientX, clientY) {
      const { left, top } = this.stage.getBoundingClientRect();
      return [(clientX - left - this.x) / this.k, (clientY - top - this.y) / this.k];
    }

    stop() {
      if (this.gliding) cancelAnimationFrame(this.gliding);
      this.gliding = null;
    }

    go(x, y, k, glide = true) {
      this.stop();
      const from = { x: this.x, y: this.y, k: this.k };
      if (!glide || tape.calm()) {
        Object.assign(this, { x, y, k });
        this.apply();
        return;
      }
      const start = performance.now();
      const frame = (now) => {
        const t = clamp((now - start) / 260, 0, 1);
        const s = 1 - (1 - t) ** 3;
        this.x = from.x + (x - from.x) * s;
        this.y = from.y + (y - from.y) * s;
        this.k = from.k + (k - from.k) * s;
        this.apply();
        this.gliding = t < 1 ? requestAnimationFrame(frame) : null;
      };
      this.gliding = requestAnimationFrame(frame);
    }

    // The whole graph; or its beginning, at a size that can be read.
    fit(glide = true, readable = false) {
      const { w, h } = this.size;
      const { scene } = this.drawing;
      if (!scene || !w || !h) return;
      const whole = Math.min((w - 48) / scene.width, (h - 48) / scene.height, 1.25);
      const wide = clamp((w - 32) / scene.width, 0.5, 0.9);
      const k = Math.max(readable ? Math.max(whole, wide) : whole, LEAST);
      const tall = scene.height * k > h - 40;
      let x = (w - scene.width * k) / 2;
      if (scene.width * k > w - 16) {
        const first = scene.items.reduce((a, b) => (b.y < a.y ? b : a));
        x = clamp(w / 2 - (first.x + first.port) * k, w - 16 - scene.width * k, 16);
      }
      this.go(x, tall ? 24 : (h - scene.height * k) / 2, k, glide);
    }

    // Brings a rectangle into sight with some air around it; stays where it is when it is there.
    reveal(box, least = 0, below = 0) {
      this.resized(); // by the panel that opens with it
      const { w } = this.size;
      const h = this.size.h - below;
      if (!w || h <= 0) return;
      const k = Math.max(this.k, least);
      const air = Math.min(20, w / 6, h / 6);
      let x = k === this.k ? this.x : w / 2 - (box.x + box.w / 2) * k;
      let y = k === this.k ? this.y : h / 2 - (box.y + box.h / 2) * k;
      const left = box.x * k + x;
      const top = box.y * k + y;
      if (left < air || left + box.w * k > w - air) x = (w - box.w * k) / 2 - box.x * k;
      if (top < air || top + box.h * k > h - air) y = (h - box.h * k) / 2 - box.y * k;
      if (x !== this.x || y !== this.y || k !== this.k) this.go(x, y, k);
    }
  }

  Object.assign(tape, { View });
})();
