// What is open, as values that never change: undo and redo are other values.

export class Store extends EventTarget {
  #past = [];
  #future = [];
  #now = { photos: [], current: null, selected: [] };

  get now() { return this.#now; }
  get canUndo() { return this.#past.length > 0; }
  get canRedo() { return this.#future.length > 0; }

  get photo() { return this.#now.photos.find((one) => one.id === this.#now.current) ?? null; }

  // A step that can be undone.
  commit(next) {
    this.#past.push(this.#now);
    this.#future = [];
    this.#set(next);
  }

  // What is not worth a step: selection, which photo is shown.
  show(next) { this.#set(next); }

  undo() {
    if (!this.canUndo) return;
    this.#future.push(this.#now);
    this.#set(this.#past.pop());
  }

  redo() {
    if (!this.canRedo) return;
    this.#past.push(this.#now);
    this.#set(this.#future.pop());
  }

  reset(next) {
    this.#past = [];
    this.#future = [];
    this.#set(next);
  }

  // The state with one photo changed.
  with(id, changes) {
    const photos = this.#now.photos.map((one) => (one.id === id ? { ...one, ...changes } : one));
    return { ...this.#now, photos };
  }

  #set(next) {
    const known = new Set(next.photos.flatMap((one) => one.masks.map((mask) => mask.id)));
    this.#now = { ...next, selected: next.selected.filter((id) => known.has(id)) };
    this.dispatchEvent(new Event("change"));
  }
}

let count = 0;
export const newId = () => `m${Date.now().toString(36)}${(count += 1)}`;

// Masks of a new run beside those that a person corrected, which stay, whatever is asked.
export function mergeMasks(before, found) {
  const kept = before.filter((mask) => mask.edited || mask.source !== "words");
  const taken = new Set(kept.filter((mask) => mask.origin).map((mask) => mask.origin));
  return [...kept, ...found.filter((mask) => !taken.has(mask.origin))];
}
