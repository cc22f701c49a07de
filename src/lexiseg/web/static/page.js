// What all parts of the page share: its elements, what is open, the view, what is under way.
import { Hints } from "./panels.js";
import { Store } from "./store.js";
import { fillTexts, text } from "./strings.js";
import { View } from "./view.js";

export const $ = (id) => document.getElementById(id);
fillTexts(document);

export const store = new Store();
export const view = new View($("frame"));
export const hints = new Hints($("words"), $("hints"));
let running = null; // of the request that is under way

export function say(message, bad = false) {
  $("status").textContent = message;
  $("status").classList.toggle("bad", bad);
}

// Whether photos or a video are worked on: "photo" or "video".
export const mode = () => document.body.dataset.mode;

export function paintMasks(on) {
  $("show-masks").checked = on;
  view.options.masks = on;
  view.paint();
}

// Do something that takes time; a newer request for the same takes its place.
export async function work(what, task) {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  say(text("busy", { what }));
  try {
    const told = await task(mine.signal);
    if (running === mine) say(told ?? "");
  } catch (error) {
    if (error.name === "AbortError") return;
    say(text("failed", { message: error.message }), true);
  } finally {
    if (running === mine) running = null;
  }
}

export function changePhoto(id, changes) {
  store.commit(store.with(id, changes));
}

export function select(mask, event) {
  const { selected } = store.now;
  let next = mask ? [mask.id] : [];
  if (event?.shiftKey) next = mask ? [...new Set([...selected, mask.id])] : selected;
  if (event?.altKey) next = mask ? selected.filter((id) => id !== mask.id) : selected;
  store.show({ ...store.now, selected: next });
}

export function selectedMasks() {
  return store.photo?.masks.filter((mask) => store.now.selected.includes(mask.id)) ?? [];
}

export function nextName(word) {
  const taken = new Set(store.photo.masks.map((mask) => mask.word));
  let number = 1;
  while (taken.has(`${word} ${number}`)) number += 1;
  return `${word} ${number}`;
}

// A file's name without its ending.
export const stem = (name) => name.replace(/\.[^.]*$/, "");
