// Keys: letters choose tools, unless a text is being typed; arrows move a pointer.
import { $, changePhoto, mode, paintMasks, say, selectedMasks, store, view } from "./page.js";
import { text } from "./strings.js";
import { stepBy, undoPoint } from "./video.js";

export function listenToKeys(tools) {
  document.addEventListener("keydown", (event) => {
    const control = event.ctrlKey || event.metaKey;
    if (control && event.key.toLowerCase() === "z") {
      event.preventDefault();
      if (mode() === "video") undoPoint();
      else if (event.shiftKey) store.redo();
      else store.undo();
      return;
    }
    if (event.target.matches("input:not([type=range]):not([type=checkbox]), select") || control) return;
    const tool = { v: "select", p: "point", b: "box", d: "brush", e: "erase", l: "like", h: "pan" };
    const key = event.key.toLowerCase();
    if (key === "m") paintMasks(!view.options.masks);
    else if (tool[key] && !tools.buttons.get(tool[key]).hidden) tools.choose(tool[key]);
    else if (key === "/") {
      event.preventDefault();
      $("words").select(); // and focus: what is typed takes its place
    } else if (key === "+" || key === "=") tools.zoom(1.4);
    else if (key === "-") tools.zoom(1 / 1.4);
    else if (key === "0") tools.zoom(0);
    else if (mode() === "video" && (key === "," || key === ".")) stepBy(key === "." ? 1 : -1);
    else if (mode() === "photo" && (key === "delete" || key === "backspace") && selectedMasks().length) {
      const gone = new Set(store.now.selected);
      changePhoto(store.photo.id, { masks: store.photo.masks.filter((one) => !gone.has(one.id)) });
    } else if (event.key === " " && event.target === view.frame) {
      event.preventDefault();
      tools.space = true;
    } else if (event.target === view.frame && view.bitmap) pointerKey(tools, event);
  });
  document.addEventListener("keyup", (event) => {
    if (event.key === " ") tools.space = false;
  });
}

// A pointer for the keyboard: arrows move it, Enter clicks.
function pointerKey(tools, event) {
  const step = (event.shiftKey ? 1 : 0.02 * view.size.width);
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const [x, y] = view.pointer ?? [view.size.width / 2, view.size.height / 2];
  if (moves[event.key]) {
    event.preventDefault();
    const [dx, dy] = moves[event.key];
    const at = [
      Math.min(view.size.width - 1, Math.max(0, x + dx * step)),
      Math.min(view.size.height - 1, Math.max(0, y + dy * step)),
    ];
    view.cursor = { point: at, radius: 6 / view.scale };
    view.hover(at);
    view.drawMarks();
    const word = view.hovered?.word ?? text("noMask");
    say(text("pointerAt", { x: Math.round(at[0]), y: Math.round(at[1]), word }));
  } else if (event.key === "Enter") {
    event.preventDefault();
    tools.click([x, y], event);
  }
}
