// The photo with its masks: three canvases on each other, zoomed and moved together. Which mask lies
// under the pointer is looked up in a map that is made once for each change of the masks.
import { cropAt } from "./rle.js";

const LARGEST = 2048; // pixels of a canvas' longer side

export class View extends EventTarget {
  constructor(frame) {
    super();
    this.frame = frame;
    this.stage = frame.querySelector("#stage");
    this.base = frame.querySelector("#photo");
    this.painted = frame.querySelector("#painted");
    this.marks = frame.querySelector("#marks");
    this.options = { opacity: 0.5, outline: true, compare: null, masks: true };
    this.zoom = 1;
    this.offset = [0, 0];
    this.hovered = null;
    this.pointer = null; // in pixels of the photo
    this.crops = new WeakMap(); // mask -> its crop at this scale
    this.tints = new WeakMap(); // mask -> a canvas that highlights it
    this.drawn = [];
    this.index = null;
    this.dense = null;
    new ResizeObserver(() => this.fit()).observe(frame);
  }

  // Show a photo: an ImageBitmap of any size, and that of the original to compare with. size: that
  // of the photo, where the bitmap is a smaller one of it.
  setPhoto(bitmap, original = bitmap, size = bitmap) {
    this.bitmap = bitmap;
    this.original = original;
    this.size = { width: size.width, height: size.height };
    this.scale = Math.min(1, LARGEST / Math.max(size.width, size.height));
    const width = Math.max(1, Math.round(size.width * this.scale));
    const height = Math.max(1, Math.round(size.height * this.scale));
    const same = this.base.width === width && this.base.height === height;
    for (const canvas of [this.base, this.painted, this.marks]) {
      canvas.width = width;
      canvas.height = height;
    }
    this.crops = new WeakMap();
    this.tints = new WeakMap();
    this.dense = null;
    this.hovered = null;
    this.lastMarks = [];
    this.drawBase();
    if (!same) this.fit(); // a video's next frame stays where it is
  }

  drawBase() {
    const draw = this.base.getContext("2d");
    const { width, height } = this.base;
    draw.clearRect(0, 0, width, height);
    draw.drawImage(this.bitmap, 0, 0, width, height);
    if (this.options.compare !== null && this.original !== this.bitmap) {
      const cut = Math.round(width * this.options.compare);
      if (cut > 0) {
        const part = this.original.width * (cut / width);
        draw.drawImage(this.original, 0, 0, part, this.original.height, 0, 0, cut, height);
      }
      draw.fillStyle = "#fff";
      draw.fillRect(cut - 1, 0, 2, height);
    }
  }

  // Paint masks, the largest first, and remember which one is on top of each pixel.
  setMasks(masks, selected) {
    this.drawn = masks.filter((mask) => mask.area > 0).sort((a, b) => b.area - a.area);
    this.selected = new Set(selected);
    this.dense = this.drawn.length ? null : this.dense;
    const { width, height } = this.painted;
    this.index = new Uint16Array(width * height);
    this.drawn.forEach((mask, i) => {
      const crop = this.crop(mask);
      for (let y = 0; y < crop.height; y += 1) {
        const row = (crop.y + y) * width + crop.x;
        for (let x = 0; x < crop.width; x += 1) {
          if (crop.data[y * crop.width + x] && crop.x + x < width) this.index[row + x] = i + 1;
        }
      }
    });
    this.paint();
  }

  // A first answer, a label map as a picture, shown until masks are there.
  setDense(values, colours) {
    this.dense = { values, colours };
    this.paint();
  }

  crop(mask) {
    let crop = this.crops.get(mask);
    if (crop === undefined) this.crops.set(mask, (crop = cropAt(mask, this.scale)));
    return crop;
  }

  paint() {
    const { width, height } = this.painted;
    const draw = this.painted.getContext("2d");
    const image = draw.createImageData(width, height);
    const pixels = image.data;
    const alpha = this.options.opacity;
    if (this.dense) paintDense(this.dense, pixels, width, height, alpha);
    for (const mask of this.options.masks ? this.drawn : []) {
      const crop = this.crop(mask);
      const strong = this.selected.has(mask.id) ? Math.min(1, alpha + 0.25) : alpha;
      const [red, green, blue] = mask.colour;
      for (let y = 0; y < crop.height; y += 1) {
        for (let x = 0; x < crop.width; x += 1) {
          const at = y * crop.width + x;
          if (!crop.data[at] || crop.x + x >= width || crop.y + y >= height) continue;
          const edge = this.options.outline && isEdge(crop, x, y);
          const over = edge ? 1 : strong;
          const to = ((crop.y + y) * width + crop.x + x) * 4;
          const under = pixels[to + 3] / 255;
          const part = over / (over + under * (1 - over)); // where masks overlap, colours mix
          pixels[to] += (red - pixels[to]) * part;
          pixels[to + 1] += (green - pixels[to + 1]) * part;
          pixels[to + 2] += (blue - pixels[to + 2]) * part;
          pixels[to + 3] = Math.max(over, under) * 255; // and the photo stays to be seen
        }
      }
    }
    draw.putImageData(image, 0, 0);
    this.drawMarks();
  }

  // What lies under the pointer, and marks of tools: cheap, at every move.
  drawMarks(marks = this.lastMarks ?? []) {
    this.lastMarks = marks;
    const draw = this.marks.getContext("2d");
    draw.clearRect(0, 0, this.marks.width, this.marks.height);
    if (this.hovered) {
      const crop = this.crop(this.hovered);
      draw.drawImage(this.tint(this.hovered), crop.x, crop.y);
    }
    draw.lineWidth = 2 / Math.max(this.zoom, 0.25);
    for (const mark of marks) drawMark(draw, mark, this.scale);
    if (this.cursor) drawMark(draw, this.cursor, this.scale);
  }

  tint(mask) {
    let canvas = this.tints.get(mask);
    if (canvas !== undefined) return canvas;
    const crop = this.crop(mask);
    canvas = document.createElement("canvas");
    canvas.width = crop.width;
    canvas.height = crop.height;
    const draw = canvas.getContext("2d");
    const image = draw.createImageData(crop.width, crop.height);
    for (let i = 0; i < crop.data.length; i += 1) {
      if (!crop.data[i]) continue;
      const edge = isEdge(crop, i % crop.width, Math.floor(i / crop.width));
      image.data.set([255, 255, 255, edge ? 255 : 90], i * 4);
    }
    draw.putImageData(image, 0, 0);
    this.tints.set(mask, canvas);
    return canvas;
  }

  // The mask on top at a pixel of the photo, or null.
  maskAt([x, y]) {
    const { width, height } = this.painted;
    const i = Math.floor(x * this.scale);
    const j = Math.floor(y * this.scale);
    if (!this.index || i < 0 || j < 0 || i >= width || j >= height) return null;
    const found = this.index[j * width + i];
    return found ? this.drawn[found - 1] : null;
  }

  hover(point) {
    this.pointer = point;
    const mask = point ? this.maskAt(point) : null;
    if (mask === this.hovered) return;
    this.hovered = mask;
    this.drawMarks();
    this.dispatchEvent(new Event("hover"));
  }

  // From a pointer's place on the screen to pixels of the photo.
  toPhoto(event) {
    const box = this.marks.getBoundingClientRect();
    return [
      ((event.clientX - box.left) / box.width) * (this.size?.width ?? 1),
      ((event.clientY - box.top) / box.height) * (this.size?.height ?? 1),
    ];
  }

  inside([x, y]) {
    return this.bitmap && x >= 0 && y >= 0 && x < this.size.width && y < this.size.height;
  }

  fit() {
    if (!this.bitmap) return;
    const box = this.frame.getBoundingClientRect();
    this.zoom = Math.min(box.width / this.base.width, box.height / this.base.height) || 1;
    this.offset = [
      (box.width - this.base.width * this.zoom) / 2,
      (box.height - this.base.height * this.zoom) / 2,
    ];
    this.place();
  }

  zoomAt(factor, [left, top]) {
    const zoom = Math.min(16, Math.max(0.05, this.zoom * factor));
    this.offset = [
      left - ((left - this.offset[0]) * zoom) / this.zoom,
      top - ((top - this.offset[1]) * zoom) / this.zoom,
    ];
    this.zoom = zoom;
    this.place();
  }

  move(dx, dy) {
    this.offset = [this.offset[0] + dx, this.offset[1] + dy];
    this.place();
  }

  place() {
    const [x, y] = this.offset;
    this.stage.style.transform = `translate(${x}px, ${y}px) scale(${this.zoom})`;
    this.drawMarks();
  }
}

function isEdge(crop, x, y) {
  const { width, height, data } = crop;
  if (x === 0 || y === 0 || x === width - 1 || y === height - 1) return true;
  const at = y * width + x;
  return !(data[at - 1] && data[at + 1] && data[at - width] && data[at + width]);
}

function paintDense({ values, colours }, pixels, width, height, alpha) {
  for (let y = 0; y < height; y += 1) {
    const row = Math.floor(((y + 0.5) * values.height) / height) * values.width;
    for (let x = 0; x < width; x += 1) {
      const value = values.data[row + Math.floor(((x + 0.5) * values.width) / width)];
      if (value) pixels.set([...colours[value - 1], alpha * 255], (y * width + x) * 4);
    }
  }
}

function drawMark(draw, mark, scale) {
  draw.strokeStyle = "#000";
  if (mark.box) {
    const [x0, y0, x1, y1] = mark.box.map((value) => value * scale);
    draw.setLineDash([6, 4]);
    draw.strokeStyle = "#fff";
    draw.strokeRect(x0, y0, x1 - x0, y1 - y0);
    draw.setLineDash([]);
    return;
  }
  const [x, y] = mark.point.map((value) => value * scale);
  draw.beginPath();
  draw.arc(x, y, mark.radius ? mark.radius * scale : draw.lineWidth * 3, 0, 2 * Math.PI);
  if (!mark.radius) {
    draw.fillStyle = mark.not ? "#e01b24" : "#26a269";
    draw.fill();
  }
  draw.strokeStyle = mark.radius ? "#fff" : "#000";
  draw.stroke();
}
