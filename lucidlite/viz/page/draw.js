// The drawing: only what is in sight becomes elements; far away, a few paths stand for everything.
//
// Moving the view changes one transform. Elements are made and dropped when the sight leaves the
// region that was drawn, which reaches half a window further than can be seen.
"use strict";

(() => {
  const { svg, shapes } = tape;
  const FAR = 0.34; // below this scale text can't be read
  const MOST = 420; // more things than this in sight are drawn as far away

  class Drawing extends tape.Painted {
    constructor(root, model) {
      super();
      this.root = root;
      this.model = model;
      this.world = svg("g", { class: "world" });
      const layer = (name) => this.world.appendChild(svg("g", { class: name }));
      this.layers = {
        boxes: layer("boxes"),
        bundle: layer("bundle"),
        edges: layer("edges"),
        items: layer("items"),
        far: layer("far"),
      };
      root
        .querySelector("defs")
        .append(
          marker("down", "arrow"),
          marker("lit", "arrow lit"),
          marker("up", "arrow lit", true),
        );
      root.append(this.world);
      this.drawn = { boxes: new Map(), edges: new Map(), items: new Map() };
      this.state = {
        visited: new Set(),
        waiting: new Set(),
        lit: new Set(),
        current: null,
        pass: null,
      };
      this.selected = null;
      this.heat = null;
      this.view = { x: 0, y: 0, k: 1, w: 1, h: 1 };
    }

    show(scene) {
      this.scene = scene;
      this.itemOf = new Map();
      for (const item of scene.items) for (const node of item.nodes) this.itemOf.set(node.id, item);
      for (const item of scene.items)
        for (const pill of item.pills || []) {
          if (pill.first || !this.itemOf.has(pill.node.id)) this.itemOf.set(pill.node.id, item);
        }
      for (const edge of scene.edges) {
        delete edge.d;
        const xs = edge.points.map((point) => point[0]);
        edge.box = [
          Math.min(...xs),
          edge.points[0][1],
          Math.max(...xs),
          edge.points[edge.points.length - 1][1],
        ];
      }
      for (const drawn of Object.values(this.drawn)) drawn.clear();
      for (const layer of Object.values(this.layers)) layer.replaceChildren();
      this.bundle = this.layers.bundle.appendChild(svg("path", { class: "edge", d: "M0 0" }));
      this.far = null;
      this.region = null;
      this.cull();
    }

    look(view) {
      this.view = view;
      this.world.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.k})`);
      if (!this.scene) return;
      const [l, t, r, b] = this.sight(0);
      const region = this.region;
      const inside =
        region &&
        l >= region.l &&
        t >= region.t &&
        r <= region.r &&
        b <= region.b &&
        view.k < region.k * 2 &&
        view.k > region.k / 1.6 &&
        view.k < FAR === region.low;
      if (!inside) this.cull();
    }

    sight(more) {
      const { x, y, k, w, h } = this.view;
      return [
        (-x - w * more) / k,
        (-y - h * more) / k,
        (w - x + w * more) / k,
        (h - y + h * more) / k,
      ];
    }

    cull() {
      const [l, t, r, b] = this.sight(0.5);
      this.region = { l, t, r, b, k: this.view.k, low: this.view.k < FAR };
      const seen = (x0, y0, x1, y1) => x1 >= l && x0 <= r && y1 >= t && y0 <= b;
      const { items, boxes, edges } = this.scene;
      const near = items.filter((item) => seen(item.x, item.y, item.x + item.w, item.y + item.h));
      const far = this.view.k < FAR || near.length > MOST;
      this.root.classList.toggle("is-far", far);
      this.sync(
        "boxes",
        far ? [] : boxes.filter((box) => seen(box.x, box.y, box.x + box.w, box.y + box.h)),
        (box) => shapes.box(box),
      );
      this.sync("items", far ? [] : near, (item) => this.make(item));
      this.inSight = far ? [] : edges.filter((edge) => seen(...edge.box));
      if (far) this.drawFar();
      else if (this.far) {
        this.layers.far.replaceChildren();
        this.far = null;
      }
      this.paint();
    }

    sync(name, wanted, make) {
      const drawn = this.drawn[name];
      const keep = new Set(wanted);
      for (const [thing, element] of drawn) {
        if (keep.has(thing)) continue;
        element.remove();
        drawn.delete(thing);
      }
      for (const thing of wanted) {
        if (drawn.has(thing)) continue;
        const element = make(thing);
        drawn.set(thing, element);
        this.layers[name].append(element);
      }
      if (name === "boxes" && wanted.length) {
        // outer boxes below inner ones
        for (const box of wanted) this.layers.boxes.append(drawn.get(box));
      }
    }

    make(item) {
      item.image = this.imageOf(item);
      return shapes.item(item, this.model, item.image);
    }

    set(state) {
      this.state = state;
      if (this.far) this.drawFar();
      this.paint();
    }

    select(id) {
      this.selected = id;
      if (this.far) this.drawFar();
      this.paint();
    }

    drawFar() {
      this.layers.far.replaceChildren(...tape.fromFar(this));
      this.far = true;
    }

    // What is at a point of the world: a pill, a card, a box's head or a box.
    at(x, y) {
      for (const item of this.scene.items) {
        if (x < item.x || x > item.x + item.w || y < item.y || y > item.y + item.h) continue;
        for (const pill of item.pills || []) {
          const [px, py] = [item.x + pill.x, item.y + pill.y];
          if (x >= px && x <= px + pill.w && y >= py && y <= py + shapes.PILL.h)
            return `n${pill.node.id}`;
        }
        if (x <= item.x + item.card) return item.id;
      }
      const around = this.scene.boxes.filter(
        (box) => x >= box.x && x <= box.x + box.w && y >= box.y && y <= box.y + box.h,
      );
      return around.length ? around[around.length - 1].id : null;
    }

    count() {
      return this.root.querySelectorAll("*").length;
    }
  }

  const marker = (id, name, reverse) =>
    svg(
      "marker",
      {
        id,
        viewBox: "0 0 10 10",
        refX: reverse ? 1 : 8,
        refY: 5,
        markerWidth: 7,
        markerHeight: 7,
        orient: reverse ? "auto-start-reverse" : "auto",
        markerUnits: "userSpaceOnUse",
      },
      svg("path", { class: name, d: "M1 1L9 5L1 9z" }),
    );

  Object.assign(tape, { Drawing });
})();
