// COCO's run lengths: columns from the left, each from the top, zeros first.
// The string holds signed numbers of 5-bit digits, lowest first, 48 added to each; from the fourth
// number on, each is the difference to the one two places before.

export function countsOf(rle) {
  if (typeof rle.counts !== "string") return Int32Array.from(rle.counts);
  const out = [];
  const given = rle.counts;
  for (let at = 0; at < given.length;) {
    let value = 0;
    let shift = 0;
    let digit = 0;
    do {
      digit = given.charCodeAt(at++) - 48;
      value += (digit & 31) * 2 ** shift;
      shift += 5;
    } while (digit & 32);
    if (digit & 16) value -= 2 ** shift;
    out.push(out.length > 2 ? value + out[out.length - 2] : value);
  }
  return Int32Array.from(out);
}

export function stringOf(counts) {
  let out = "";
  counts.forEach((count, i) => {
    let value = i > 2 ? count - counts[i - 2] : count;
    for (let more = true; more;) {
      let digit = value & 31;
      value >>= 5;
      more = digit & 16 ? value !== -1 : value !== 0;
      if (more) digit |= 32;
      out += String.fromCharCode(digit + 48);
    }
  });
  return out;
}

// Call `run(x, y0, y1)` for each piece of a column that is inside.
export function eachRun(rle, run) {
  const height = rle.size[0];
  let at = 0;
  let inside = false;
  for (const count of countsOf(rle)) {
    if (inside) {
      for (let start = at, end = at + count; start < end;) {
        const x = Math.floor(start / height);
        const stop = Math.min(end, (x + 1) * height);
        run(x, start - x * height, stop - x * height);
        start = stop;
      }
    }
    at += count;
    inside = !inside;
  }
}

// All pixels, row by row, 1 inside.
export function bitmapOf(rle) {
  const [height, width] = rle.size;
  const out = new Uint8Array(width * height);
  eachRun(rle, (x, y0, y1) => {
    for (let i = y0 * width + x; y0 < y1; y0 += 1, i += width) out[i] = 1;
  });
  return out;
}

// A bitmap, row by row, as { rle, area, box: [x, y, w, h] }.
export function maskOf(bitmap, width, height) {
  const counts = [];
  let run = 0;
  let last = 0;
  let area = 0;
  let x0 = width;
  let y0 = height;
  let x1 = 0;
  let y1 = 0;
  for (let x = 0; x < width; x += 1) {
    for (let y = 0, i = x; y < height; y += 1, i += width) {
      const value = bitmap[i];
      if (value !== last) {
        counts.push(run);
        run = 0;
        last = value;
      }
      run += 1;
      if (value) {
        area += 1;
        if (x < x0) x0 = x;
        if (x >= x1) x1 = x + 1;
        if (y < y0) y0 = y;
        if (y >= y1) y1 = y + 1;
      }
    }
  }
  counts.push(run);
  const box = area ? [x0, y0, x1 - x0, y1 - y0] : [0, 0, 0, 0];
  return { rle: { size: [height, width], counts: stringOf(counts) }, area, box };
}

// The mask at another scale, as { x, y, width, height, data } of the box that it fills there. A
// pixel is inside where the mask has the photo's pixel under its centre.
export function cropAt(mask, scale) {
  const [height] = mask.rle.size;
  const [left, top, w, h] = mask.box;
  const x0 = Math.floor(left * scale);
  const y0 = Math.floor(top * scale);
  const crop = {
    x: x0,
    y: y0,
    width: Math.max(1, Math.ceil((left + w) * scale) - x0),
    height: Math.max(1, Math.ceil((top + h) * scale) - y0),
  };
  crop.data = new Uint8Array(crop.width * crop.height);
  const first = new Map(); // column of the photo -> columns of the crop that show it
  for (let i = 0; i < crop.width; i += 1) {
    const x = Math.floor((x0 + i + 0.5) / scale);
    if (!first.has(x)) first.set(x, []);
    first.get(x).push(i);
  }
  eachRun(mask.rle, (x, from, to) => {
    const columns = first.get(x);
    if (columns === undefined) return;
    const start = Math.max(0, Math.ceil(from * scale - 0.5) - y0);
    const stop = Math.min(crop.height, Math.ceil(Math.min(to, height) * scale - 0.5) - y0);
    for (const i of columns) {
      for (let j = start; j < stop; j += 1) crop.data[j * crop.width + i] = 1;
    }
  });
  return crop;
}
