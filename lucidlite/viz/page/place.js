// Coordinates for one level's rows: across so that lines run straight, down so that rows fit.
"use strict";

(() => {
  const APART = { items: 30, mixed: 20, lanes: 12 };

  const apart = (a, b) => {
    if (a.item === null) return b.item === null ? APART.lanes : APART.mixed;
    return b.item === null ? APART.mixed : APART.items;
  };

  // Cells that belong under each other become blocks, which move as one: so a lane is one straight
  // line, and a chain of operations one straight spine.
  function blocksOf(grid) {
    const blocks = new Map();
    const block = (cell) => {
      if (!blocks.has(cell)) {
        blocks.set(cell, { x: 0, cells: [cell] });
        cell.shift = 0;
      }
      return blocks.get(cell);
    };
    for (const cell of grid[0] || []) block(cell);
    for (let row = 1; row < grid.length; row += 1) {
      const above = places(grid[row - 1]);
      const below = places(grid[row]);
      const tall = [];
      for (const [cell, place] of below) if (above.has(cell)) tall.push([above.get(cell), place]);
      const backs = new Map(); // of a cell above, which may have thousands of links
      const wanted = [];
      for (const cell of grid[row]) {
        if (above.has(cell)) continue;
        block(cell);
        const link = primary(cell.up, above);
        if (link && !backs.has(link.cell)) backs.set(link.cell, primary(link.cell.down, below));
        const back = link && backs.get(link.cell);
        if (back && back.cell === cell)
          wanted.push({ cell, link, pair: [above.get(link.cell), below.get(cell)] });
      }
      // Chains of items first, then lanes.
      wanted.sort((a, b) => (b.link.strength === 2) - (a.link.strength === 2));
      const straight = [];
      for (const { cell, link, pair } of wanted) {
        if (tall.some((each) => (each[0] - pair[0]) * (each[1] - pair[1]) < 0)) continue;
        if (!insert(straight, pair)) continue;
        const upper = blocks.get(link.cell);
        cell.shift = link.cell.shift + link.to - link.from;
        blocks.set(cell, upper);
        upper.cells.push(cell);
      }
    }
    return blocks;
  }

  // Puts a pair of places, in the upper and in the lower row, among others in their order; not if
  // it crosses one of them.
  function insert(pairs, pair) {
    let low = 0;
    let high = pairs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (pairs[middle][0] < pair[0]) low = middle + 1;
      else high = middle;
    }
    if (low > 0 && pairs[low - 1][1] > pair[1]) return false;
    if (low < pairs.length && pairs[low][1] < pair[1]) return false;
    pairs.splice(low, 0, pair);
    return true;
  }

  const places = (row) => new Map(row.map((cell, index) => [cell, index]));

  // The link to keep straight: of two the stronger or older, of three the middle one; between an
  // even number the cell itself stands in the middle.
  function primary(links, order) {
    const near = links.filter((each) => order.has(each.cell));
    let best = near[0];
    if (
      near.length === 2 &&
      (near[1].strength - best.strength || best.cell.made - near[1].cell.made) > 0
    )
      [, best] = near;
    if (near.length > 2) {
      if (near.length % 2 === 0) return null;
      near.sort((a, b) => order.get(a.cell) - order.get(b.cell));
      best = near[near.length >> 1];
    }
    return best && best.strength >= 2 ? best : null;
  }

  function across(grid) {
    const blocks = blocksOf(grid);
    const all = [...new Set(blocks.values())];
    // For each block, how far it stays from those beside it, at both sides.
    for (const block of all) Object.assign(block, { left: new Map(), right: new Map(), links: [] });
    for (const row of grid) {
      for (let i = 1; i < row.length; i += 1) {
        const [a, b] = [row[i - 1], row[i]];
        const gap = a.shift + a.w + apart(a, b) - b.shift;
        const [p, q] = [blocks.get(a), blocks.get(b)];
        if (gap > (p.right.get(q) ?? -Infinity)) {
          p.right.set(q, gap);
          q.left.set(p, gap);
        }
      }
    }
    for (const block of all) {
      for (const cell of block.cells) {
        for (const each of [...cell.up, ...cell.down]) {
          const other = blocks.get(each.cell);
          if (other === block) continue;
          block.links.push([
            other,
            each.cell.shift + each.to - cell.shift - each.from,
            each.strength ** 2,
          ]);
        }
      }
    }
    pack(all);
    settle(all);
    for (const [cell, block] of blocks) cell.x = block.x + cell.shift;
  }

  function pack(all) {
    let changed = true;
    for (let round = 0; changed && round < 200; round += 1) {
      changed = false;
      for (const block of all) {
        for (const [other, gap] of block.right) {
          if (other.x >= block.x + gap) continue;
          other.x = block.x + gap;
          changed = true;
        }
      }
    }
  }

  // Each block in turn goes where its links pull it; a longer one pushes shorter ones aside.
  function settle(all) {
    const rounds = all.length > 3000 ? 3 : all.length > 400 ? 8 : 24;
    const push = (block, x, depth) => {
      const right = x > block.x;
      let possible = x;
      for (const [other, gap] of right ? block.right : block.left) {
        const edge = right ? x + gap : x - gap;
        if (right ? other.x >= edge : other.x <= edge) continue;
        if (depth < 30 && other.cells.length < block.cells.length) push(other, edge, depth + 1);
        possible = right ? Math.min(possible, other.x - gap) : Math.max(possible, other.x + gap);
      }
      if (right ? possible > block.x : possible < block.x) block.x = possible;
    };
    const visit = (block) => {
      let sum = 0;
      let weight = 0;
      for (const [other, offset, strength] of block.links) {
        sum += (other.x + offset) * strength;
        weight += strength;
      }
      if (weight) push(block, sum / weight, 0);
    };
    for (let round = 0; round < rounds; round += 1) {
      all.forEach(visit);
      for (let i = all.length - 1; i >= 0; i -= 1) visit(all[i]);
    }
  }

  // A row of nothing but ports in the border.
  const edge = (row) =>
    row.length > 0 &&
    row.every((cell) => cell.h === 0 && (cell.item === null || cell.port)) &&
    row.some((cell) => cell.port);

  // Rows as low as what stands in them allows; a tall item spreads over its rows.
  function downward(grid, cells, gap, small) {
    const tops = grid.map(() => 0);
    const ends = grid.map(() => []);
    const heights = grid.map(() => null);
    for (const cell of cells) {
      if (cell.span === 1) heights[cell.row] = Math.max(heights[cell.row] || 0, cell.h);
      else ends[cell.row + cell.span - 1].push(cell);
    }
    const bottoms = grid.map(() => 0);
    let y = 0;
    grid.forEach((row, index) => {
      tops[index] = y;
      let bottom = y + (heights[index] || 0);
      for (const cell of ends[index]) bottom = Math.max(bottom, tops[cell.row] + cell.h);
      bottoms[index] = bottom;
      const starts = row.some((cell) => cell.item !== null && cell.row === index);
      const stops = row.some((cell) => cell.item !== null && cell.row + cell.span - 1 === index);
      const thin = edge(row) || edge(grid[index + 1] || []);
      y = bottom + (starts || stops ? (thin ? small : gap) : 0);
    });
    return { tops, bottoms };
  }

  Object.assign(tape, { across, downward });
})();
