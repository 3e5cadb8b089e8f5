// One level of the drawing as rows: what stands in which row, and in which order.
//
// Layered drawing after Sugiyama: ranks by longest path, lanes where a link passes a row, order by
// barycenters. Links of one source share their lanes, so a tensor used a hundred times is one line.
// A tall item beside short ones spans several rows, and never changes sides along the way.
"use strict";

(() => {
  const LANE = 2; // width
  const MOST_LANES = 30000;

  // items: {w, h, pin: "top" | "bottom" | undefined}, in an order in which every link goes forward.
  // links: {from, to, port, out, into}: indices, the source's name, offsets from the items' left.
  function rank(items, links, spans) {
    const ranks = items.map(() => 0);
    const after = items.map(() => []);
    for (const link of links) after[link.from].push(link);
    items.forEach((item, index) => {
      for (const link of after[index]) {
        ranks[link.to] = Math.max(ranks[link.to], ranks[index] + spans[index]);
      }
    });
    const fed = new Set(links.map((link) => link.to));
    const top = items.some((item) => item.pin === "top") ? 1 : 0;
    items.forEach((item, index) => {
      if (item.pin === "top") ranks[index] = 0;
      else if (top) ranks[index] = Math.max(ranks[index], 1);
    });
    if (top) relax(items, after, ranks, spans);
    // What nothing feeds stands just above its first user.
    items.forEach((item, index) => {
      if (fed.has(index) || item.pin || !after[index].length) return;
      const first = Math.min(...after[index].map((link) => ranks[link.to]));
      ranks[index] = Math.max(ranks[index], first - spans[index]);
    });
    let last = 0;
    items.forEach((item, index) => {
      if (item.pin !== "bottom") last = Math.max(last, ranks[index] + spans[index]);
    });
    items.forEach((item, index) => {
      if (item.pin === "bottom") ranks[index] = last;
    });
    return ranks;
  }

  function relax(items, after, ranks, spans) {
    items.forEach((item, index) => {
      for (const link of after[index]) {
        ranks[link.to] = Math.max(ranks[link.to], ranks[index] + spans[index]);
      }
    });
  }

  function spansOf(items, links, gap) {
    const one = items.map(() => 1);
    const ranks = rank(items, links, one);
    const alone =
      new Set(ranks).size === items.length &&
      links.every((link) => ranks[link.to] - ranks[link.from] === 1);
    if (alone) return one;
    const heights = items
      .filter((item) => !item.pin)
      .map((item) => item.h)
      .sort((a, b) => a - b);
    const usual = heights[Math.floor(heights.length / 4)] || 1;
    return items.map((item) =>
      item.h <= usual * 1.7 ? 1 : Math.ceil((item.h + gap) / (usual + gap)),
    );
  }

  function rows(items, links, gap) {
    const spans = spansOf(items, links, gap);
    const laid = arrange(items, links, spans);
    // Where a line would have to cross a tall item, every item gets a row of its own height.
    return cut(laid.grid)
      ? arrange(
          items,
          links,
          items.map(() => 1),
        )
      : laid;
  }

  function arrange(items, links, spans) {
    const ranks = rank(items, links, spans);
    const cells = items.map((item, index) => ({
      item: index,
      port: Boolean(item.pin),
      w: item.w,
      h: item.h,
      row: ranks[index],
      span: spans[index],
      x: 0,
      up: [],
      down: [],
      made: index,
    }));
    const depth = Math.max(0, ...cells.map((cell) => cell.row + cell.span));
    const grid = Array.from({ length: depth }, () => []);
    for (const cell of cells) for (let r = 0; r < cell.span; r += 1) grid[cell.row + r].push(cell);
    addLanes(cells, grid, links);
    order(grid);
    return { cells: cells.slice(0, items.length), grid };
  }

  function addLanes(cells, grid, links) {
    const lanes = new Map();
    let made = 0;
    const join = (a, out, b, into, strength) => {
      if (a.down.some((each) => each.cell === b && each.from === out)) return;
      a.down.push({ cell: b, from: out, to: into, strength });
      b.up.push({ cell: a, from: into, to: out, strength });
    };
    for (const link of links) {
      const source = cells[link.from];
      const target = cells[link.to];
      const start = source.row + source.span;
      const key = `${link.from} ${link.port}`;
      if (!lanes.has(key)) lanes.set(key, []);
      const lane = lanes.get(key);
      link.lane = [];
      if (target.row < start || (made > MOST_LANES && target.row - start > lane.length)) continue;
      let cell = source;
      let out = link.out;
      for (let row = start; row < target.row; row += 1) {
        let next = lane[row - start];
        if (!next) {
          next = {
            item: null,
            w: LANE,
            h: 0,
            row,
            span: 1,
            x: 0,
            up: [],
            down: [],
            made: source.made,
          };
          lane.push(next);
          grid[row].push(next);
          made += 1;
        }
        join(cell, out, next, LANE / 2, cell.item === null ? 3 : 1);
        link.lane.push(next);
        cell = next;
        out = LANE / 2;
      }
      join(cell, out, target, link.into, cell.item === null ? 1 : 2);
    }
  }

  function order(grid) {
    const size = grid.reduce((sum, row) => sum + row.length, 0);
    if (grid.every((row) => row.length < 2)) return;
    number(grid);
    let best = snapshot(grid);
    let fewest = crossings(grid);
    const sweeps = size > 6000 ? 2 : size > 1500 ? 6 : 16;
    for (let sweep = 0; sweep < sweeps && fewest > 0; sweep += 1) {
      const down = sweep % 2 === 0;
      for (let i = 1; i < grid.length; i += 1) {
        const row = down ? i : grid.length - 1 - i;
        sort(grid, row, down ? row - 1 : row + 1, down ? "up" : "down");
      }
      const now = crossings(grid);
      if (now < fewest) {
        fewest = now;
        best = snapshot(grid);
      }
    }
    grid.forEach((row, index) => row.splice(0, row.length, ...best[index]));
  }

  const snapshot = (grid) => grid.map((row) => row.slice());

  function number(grid) {
    for (const row of grid) {
      row.places = new Map(row.map((cell, index) => [cell, index]));
    }
  }

  // Where a link meets a cell: its place in the row, and a little more or less for the offset.
  const meets = (row, cell, offset) => row.places.get(cell) + (offset / (cell.w || 1) - 0.5) * 0.8;

  function sort(grid, index, beside, side) {
    const row = grid[index];
    const other = grid[beside];
    const keys = new Map();
    row.forEach((cell, place) => {
      if (other.places.has(cell)) {
        keys.set(cell, other.places.get(cell));
        return;
      }
      const near = cell[side].filter((each) => other.places.has(each.cell));
      const weight = near.reduce((sum, each) => sum + each.strength ** 2, 0);
      keys.set(
        cell,
        weight
          ? near.reduce(
              (sum, each) => sum + each.strength ** 2 * meets(other, each.cell, each.to),
              0,
            ) / weight
          : (place * other.length) / row.length,
      );
    });
    row.sort((a, b) => keys.get(a) - keys.get(b));
    row.places = new Map(row.map((cell, place) => [cell, place]));
  }

  // Whether a line changes sides of an item that stands in both rows.
  function cut(grid) {
    return grid.some((row, index) => {
      const above = index ? grid[index - 1] : [];
      const tall = row.filter((cell) => cell.row < index);
      if (!tall.length) return false;
      const upper = new Map(above.map((cell, place) => [cell, place]));
      const lower = new Map(row.map((cell, place) => [cell, place]));
      return row.some(
        (cell) =>
          cell.row === index &&
          cell.up.some(
            (each) =>
              upper.has(each.cell) &&
              tall.some(
                (item) =>
                  (upper.get(each.cell) - upper.get(item)) * (lower.get(cell) - lower.get(item)) <
                  0,
              ),
          ),
      );
    });
  }

  function crossings(grid) {
    let total = 0;
    for (let index = 1; index < grid.length; index += 1) {
      const above = grid[index - 1];
      const pairs = [];
      for (const cell of grid[index]) {
        const place = grid[index].places.get(cell);
        if (above.places.has(cell)) pairs.push([above.places.get(cell), place]);
        for (const each of cell.up) {
          if (above.places.has(each.cell)) {
            pairs.push([meets(above, each.cell, each.to), meets(grid[index], cell, each.from)]);
          }
        }
      }
      pairs.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      const seen = [];
      for (const [, place] of pairs) {
        let low = 0;
        let high = seen.length;
        while (low < high) {
          const middle = (low + high) >> 1;
          if (seen[middle] <= place) low = middle + 1;
          else high = middle;
        }
        total += seen.length - low;
        seen.splice(low, 0, place);
      }
    }
    return total;
  }

  Object.assign(tape, { rows });
})();
