// What the pointer does on the photo.
import { bitmapOf as bitsOf, maskOf } from "./rle.js";
import { text } from "./strings.js";

export const TOOLS = [
  ["select", "V", "↖"], ["point", "P", "•"], ["box", "B", "▭"], ["brush", "D", "✎"],
  ["erase", "E", "⌫"], ["like", "L", "≈"], ["pan", "H", "✥"],
];

export class Tools {
  // actions: select(mask, event), refine(what), like(box), corrected(mask, changes)
  constructor(view, bar, actions) {
    this.view = view;
    this.actions = actions;
    this.name = "select";
    this.brush = 24; // pixels of the photo
    this.buttons = new Map();
    for (const [name, key, sign] of TOOLS) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "icon";
      button.textContent = sign;
      const title = text(`tool${name[0].toUpperCase()}${name.slice(1)}`);
      button.title = title;
      button.setAttribute("aria-label", title);
      button.setAttribute("aria-keyshortcuts", key);
      button.id = `tool-${name}`;
      button.addEventListener("click", () => this.choose(name));
      bar.append(button);
      this.buttons.set(name, button);
    }
    const zooms = [["zoomIn", "+", 1.4], ["zoomOut", "−", 1 / 1.4], ["zoomFit", "▣", 0]];
    for (const [key, sign, factor] of zooms) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = sign;
      button.title = text(key);
      button.setAttribute("aria-label", text(key));
      button.addEventListener("click", () => this.zoom(factor));
      bar.append(button);
    }
    this.choose("select");
    const { frame } = view;
    frame.addEventListener("pointerdown", (event) => this.down(event));
    frame.addEventListener("pointermove", (event) => this.moved(event));
    frame.addEventListener("pointerup", (event) => this.up(event));
    frame.addEventListener("pointercancel", () => this.cancel());
    frame.addEventListener("pointerleave", () => {
      if (!this.drag) view.hover(null);
    });
    frame.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = frame.getBoundingClientRect();
      view.zoomAt(event.deltaY < 0 ? 1.15 : 1 / 1.15, [event.clientX - box.left, event.clientY - box.top]);
    }, { passive: false });
  }

  choose(name) {
    this.name = name;
    for (const [other, button] of this.buttons) {
      button.setAttribute("aria-pressed", String(other === name));
    }
    this.view.frame.style.cursor = { pan: "grab", select: "default" }[name] ?? "crosshair";
    this.view.cursor = null;
    this.view.drawMarks();
  }

  // Show the tools that a mode has.
  offer(mode) {
    const some = ["select", "point", "pan"];
    for (const [name, button] of this.buttons) button.hidden = mode === "video" && !some.includes(name);
    if (this.buttons.get(this.name).hidden) this.choose("select");
  }

  zoom(factor) {
    const box = this.view.frame.getBoundingClientRect();
    if (factor) this.view.zoomAt(factor, [box.width / 2, box.height / 2]);
    else this.view.fit();
  }

  down(event) {
    if (!this.view.bitmap || (event.button !== 0 && event.button !== 1)) return;
    this.view.frame.setPointerCapture(event.pointerId);
    const at = this.view.toPhoto(event);
    const panning = this.name === "pan" || event.button === 1 || this.space;
    this.drag = { name: panning ? "pan" : this.name, from: at, to: at, screen: [event.clientX, event.clientY], path: [at], alt: event.altKey };
    if (this.drag.name === "brush" || this.drag.name === "erase") this.stroke();
  }

  moved(event) {
    if (!this.view.bitmap) return;
    const at = this.view.toPhoto(event);
    const { drag } = this;
    if (!drag) {
      const start = performance.now();
      this.view.hover(this.view.inside(at) ? at : null);
      performance.measure("lexiseg-hover", { start, end: performance.now() });
      if (this.name === "brush" || this.name === "erase") {
        this.view.cursor = { point: at, radius: this.brush / 2 };
        this.view.drawMarks();
      }
      return;
    }
    if (drag.name === "pan") {
      this.view.move(event.clientX - drag.screen[0], event.clientY - drag.screen[1]);
      drag.screen = [event.clientX, event.clientY];
      return;
    }
    drag.to = at;
    drag.path.push(at);
    if (drag.name === "box" || drag.name === "like") this.view.drawMarks([{ box: boxOf(drag) }]);
    if (drag.name === "brush" || drag.name === "erase") this.stroke();
  }

  up(event) {
    const { drag } = this;
    this.drag = null;
    if (!drag) return;
    const at = this.view.toPhoto(event);
    this.view.drawMarks([]);
    if (drag.name === "select") this.click(at, event);
    if (drag.name === "point") this.click(at, event);
    if (drag.name === "box" || drag.name === "like") {
      const box = this.clipped(boxOf(drag));
      if (box[2] - box[0] < 2 || box[3] - box[1] < 2) return;
      if (drag.name === "box") this.actions.refine({ box });
      else this.actions.like(box);
    }
    if (drag.name === "brush" || drag.name === "erase") this.finishStroke(drag);
  }

  cancel() {
    this.drag = null;
    this.view.drawMarks([]);
  }

  // A click at a pixel of the photo, by pointer or by keyboard.
  click(at, event) {
    if (!this.view.inside(at)) return;
    const pixel = at.map(Math.floor);
    if (this.name === "point") this.actions.refine({ point: pixel, not: Boolean(event.altKey) });
    else this.actions.select(this.view.maskAt(at), event);
  }

  clipped([x0, y0, x1, y1]) {
    const { width, height } = this.view.size;
    return [Math.max(0, x0), Math.max(0, y0), Math.min(width, x1), Math.min(height, y1)];
  }

  stroke() {
    const marks = this.drag.path.slice(-400).map((point) => ({ point, radius: this.brush / 2 }));
    this.view.drawMarks(marks);
  }

  finishStroke(drag) {
    const { width, height } = this.view.size;
    const mask = this.actions.toPaint(drag.name === "brush");
    if (!mask) return;
    const bits = mask.rle ? bitsOf(mask.rle) : new Uint8Array(width * height);
    paintPath(bits, width, height, drag.path, this.brush / 2, drag.name === "brush" ? 1 : 0);
    this.actions.corrected(mask, maskOf(bits, width, height));
  }
}

function boxOf({ from, to }) {
  return [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.max(from[0], to[0]), Math.max(from[1], to[1])];
}

// Set all pixels within a radius of a path's pieces.
export function paintPath(bits, width, height, path, radius, value) {
  const pieces = path.length > 1 ? path.slice(1).map((to, i) => [path[i], to]) : [[path[0], path[0]]];
  for (const [[ax, ay], [bx, by]] of pieces) {
    const x0 = Math.max(0, Math.floor(Math.min(ax, bx) - radius));
    const x1 = Math.min(width, Math.ceil(Math.max(ax, bx) + radius) + 1);
    const y0 = Math.max(0, Math.floor(Math.min(ay, by) - radius));
    const y1 = Math.min(height, Math.ceil(Math.max(ay, by) + radius) + 1);
    const [dx, dy] = [bx - ax, by - ay];
    const length = dx * dx + dy * dy;
    for (let y = y0; y < y1; y += 1) {
      for (let x = x0; x < x1; x += 1) {
        const [px, py] = [x + 0.5 - ax, y + 0.5 - ay];
        const along = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
        const [ex, ey] = [px - along * dx, py - along * dy];
        if (ex * ex + ey * ey <= radius * radius) bits[y * width + x] = value;
      }
    }
  }
}
