// The data as the page asks for it: consumers, families of operations, who waited at a step.
"use strict";

(() => {
  // Kinds of operations: key, name, and what their names have in them; the first that fits counts.
  const FAMILIES = [
    ["loss", "Loss", "loss cross_entropy nll mse bce kl_div huber l1_"],
    ["conv", "Convolution", "conv unfold (^|_)fold"],
    ["pool", "Pooling, resizing", "pool interpolat upsampl shuffle grid_sample"],
    ["norm", "Normalization", "(batch|layer|group|instance|rms|local_response)_?norm ^normalize"],
    [
      "linear",
      "Matrix product",
      "linear matmul mm$ mv$ bmm outer ^dot einsum embedding lstm gru rnn attention",
    ],
    [
      "act",
      "Activation",
      "relu elu sigmoid tanh softmax softmin softplus softsign silu mish hardswish dropout " +
        "threshold glu shrink",
    ],
    [
      "shape",
      "Shape, indexing",
      "view reshape flatten permute transpose ^t$ cat$ stack getitem index slice split chunk " +
        "unbind squeeze expand pad repeat narrow select gather scatter clone contiguous copy " +
        "roll flip tile as_strided ^to cast type",
    ],
    ["reduce", "Reduction", "sum mean max min prod var std norm median sort topk cum"],
    ["math", "Arithmetic", "."],
  ].map(([key, name, words]) => [key, name, new RegExp(words.split(" ").join("|"))]);

  const names = new Map();

  function family(node) {
    if (node.kind === "leaf") return "leaf";
    let found = names.get(node.op);
    if (!found) {
      found = FAMILIES.find((each) => each[2].test(node.op.toLowerCase()))[0];
      names.set(node.op, found);
    }
    return found;
  }

  // Labels that Python makes of a leaf without a name: what it is, and its shape.
  const isInput = (node) => node.kind === "leaf" && node.label.startsWith("input (");
  const shortLabel = (node) => node.label.replace(/^(input|parameter) \(.*\)$/, "$1");

  const broken = (node) => Boolean(node.gradient) && node.gradient.nan + node.gradient.inf > 0;

  class Model {
    constructor(data) {
      Object.assign(this, { data, title: data.title, totals: data.totals });
      this.nodes = data.nodes;
      this.modules = data.modules;
      this.steps = data.steps;
      this.images = new Map(data.images.map((image) => [image.id, image]));
      this.consumers = this.nodes.map(() => []);
      for (const node of this.nodes) {
        for (const input of node.inputs) {
          const users = input.node === null ? null : this.consumers[input.node];
          if (users && users[users.length - 1] !== node.id) users.push(node.id);
        }
      }
      // The forward pass made the nodes in the order of their numbers; leaves are no operations.
      this.created = this.nodes
        .filter((node) => node.kind === "op")
        .sort((a, b) => a.number - b.number)
        .map((node) => node.id);
      // The step that brought a node its first gradient; the output has one from the start.
      this.reached = new Map(this.steps.slice(0, 1).map((step) => [step.node, -1]));
      this.steps.forEach((step, index) => {
        for (const { node, first } of step.delivers) if (first) this.reached.set(node, index);
      });
    }

    // Nodes with NaN or infinities in their gradients, in the order the engine came upon them.
    broken() {
      return this.steps.map((step) => this.nodes[step.node]).filter((node) => broken(node));
    }

    module(node) {
      return node.module === null ? null : this.modules[node.module];
    }

    // Modules from the outermost in.
    chain(node) {
      const found = [];
      for (let module = this.module(node); module; module = this.modules[module.parent]) {
        found.push(module);
        if (module.parent === null) break;
      }
      return found.reverse();
    }

    name(node) {
      return node.kind === "leaf" ? node.label : node.op;
    }

    where(node) {
      const module = this.module(node);
      return module ? module.path || module.kind : "";
    }

    // Who waits when step `index` is taken, the one that is taken included: youngest first, for
    // so the engine takes them. Nobody after the last step.
    waiting(index) {
      const later = this.steps.slice(index).map((step) => step.node);
      return later.filter((id) => this.reached.get(id) < index);
    }

    image(node, ...titles) {
      for (const title of titles) {
        const found = node.images.find((each) => each.title === title);
        if (found) return this.images.get(found.image) || null;
      }
      return null;
    }

    value(node, key) {
      if (key === "norm") return node.gradient ? node.gradient.norm : null;
      return node[key];
    }
  }

  Object.assign(tape, { Model, FAMILIES, family, isInput, shortLabel, broken });
})();
