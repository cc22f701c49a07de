// The parts beside the photo: the list of masks, the strip of photos, hints for words.
import { urlOf } from "./photos.js";
import { text } from "./strings.js";

function element(name, attributes = {}, ...children) {
  const out = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) out.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) out.setAttribute(key, value === true ? "" : value);
  }
  out.append(...children);
  return out;
}

function swatch(colour) {
  const out = element("span", { class: "swatch", "aria-hidden": "true" });
  out.style.backgroundColor = `rgb(${colour.join(" ")})`;
  return out;
}

function percent(share) {
  if (share < 0.001) return "< 0.1 %";
  return share < 0.01 ? `${(100 * share).toFixed(1)} %` : `${Math.round(100 * share)} %`;
}

// actions: select(mask, event), toggle(mask), drop(mask), rename(mask, word), hover(mask or null)
export function showMasks(list, photo, shown, selected, pixels, actions) {
  list.replaceChildren();
  if (!photo) return;
  if (!photo.masks.length) list.append(element("li", { class: "none" }, text("none")));
  for (const mask of photo.masks) {
    if (!shown.has(mask.id) && mask.visible) continue;
    const facts = [
      text("size", { share: percent(mask.area / pixels) }),
      mask.score === null ? null : text("score", { score: mask.score.toFixed(2) }),
      mask.edited ? text("corrected") : null,
      mask.reading && mask.reading !== mask.word ? text("readAs", { text: mask.reading }) : null,
    ].filter(Boolean);
    const name = element("button", {
      type: "button", class: "name", "aria-pressed": String(selected.includes(mask.id)),
      onclick: (event) => actions.select(mask, event),
      ondblclick: () => startRename(name, mask, actions),
      onkeydown: (event) => {
        if (event.key === "F2") startRename(name, mask, actions);
      },
    }, mask.word, element("span", { class: "facts" }, ...facts.flatMap((fact, i) => [
      i ? " · " : "", element("span", {}, fact),
    ])));
    const row = element("li", {
      "data-mask": mask.id, class: selected.includes(mask.id) ? "selected" : null,
      onpointerenter: () => actions.hover(mask), onpointerleave: () => actions.hover(null),
    }, swatch(mask.colour), name,
    element("button", {
      type: "button", class: "icon",
      "aria-label": text(mask.visible ? "hide" : "show", { word: mask.word }),
      title: text(mask.visible ? "hide" : "show", { word: mask.word }),
      onclick: () => actions.toggle(mask),
    }, mask.visible ? "◉" : "○"),
    element("button", {
      type: "button", class: "icon", "aria-label": text("remove", { word: mask.word }),
      title: text("remove", { word: mask.word }), onclick: () => actions.drop(mask),
    }, "✕"));
    list.append(row);
  }
}

function startRename(button, mask, actions) {
  const input = element("input", { value: mask.word, "aria-label": text("rename") });
  const finish = (keep) => {
    const word = input.value.trim();
    if (keep && word && word !== mask.word) actions.rename(mask, word);
    else input.replaceWith(button);
  };
  input.addEventListener("blur", () => finish(true));
  input.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Enter") input.blur();
    if (event.key === "Escape") finish(false);
  });
  button.replaceWith(input);
  input.select();
}

// What is followed through a video. actions: select(id, event), toggle(id), hover(id), go(frame)
export function showTracks(list, tracks, selected, hidden, actions) {
  list.replaceChildren();
  if (!tracks.length) list.append(element("li", { class: "none" }, text("noVideo")));
  for (const one of tracks) {
    const word = `${one.word} ${one.id}`;
    const label = text(hidden.has(one.id) ? "show" : "hide", { word });
    list.append(element("li", {
      class: selected.has(one.id) ? "selected" : null, "data-mask": one.id,
      onpointerenter: () => actions.hover(one.id), onpointerleave: () => actions.hover(null),
    }, swatch(one.colour), element("button", {
      type: "button", class: "name", "aria-pressed": String(selected.has(one.id)),
      onclick: (event) => actions.select(one.id, event), ondblclick: () => actions.go(one.first),
    }, word, element("span", { class: "facts" }, text("framesOf", {
      first: one.first + 1, last: one.last + 1, seen: one.seen,
    }))), element("button", {
      type: "button", class: "icon", "aria-label": label, title: label,
      onclick: () => actions.toggle(one.id),
    }, hidden.has(one.id) ? "○" : "◉")));
  }
}

export function showStrip(strip, photos, current, actions) {
  strip.replaceChildren();
  if (!photos.length) return;
  for (const photo of photos) {
    const image = element("img", { src: urlOf(photo.blob), alt: photo.name });
    strip.append(element("div", { role: "listitem" },
      element("button", {
        type: "button", class: "photo", "aria-current": photo.id === current ? "true" : null,
        title: photo.name, onclick: () => actions.open(photo),
      }, image),
      element("button", {
        type: "button", class: "close", "aria-label": text("removePhoto", { name: photo.name }),
        onclick: () => actions.close(photo),
      }, "✕")));
  }
  strip.append(element("div", { role: "listitem" }, element("button", {
    type: "button", onclick: actions.add, id: "add-photos",
  }, text("addPhotos"))));
}

// Words that the model knows, offered for the last one that is typed.
export class Hints {
  constructor(input, list) {
    this.input = input;
    this.list = list;
    this.known = [];
    this.at = -1;
    input.addEventListener("input", () => this.update());
    input.addEventListener("blur", () => setTimeout(() => this.hide(), 150));
    input.addEventListener("keydown", (event) => this.key(event));
  }

  update() {
    const last = this.input.value.split(/[;,]/).pop().trim().toLowerCase();
    const fits = last ? this.known.filter((word) => word !== last && word.startsWith(last)) : [];
    if (last.length > 1) {
      fits.push(...this.known.filter((word) => !word.startsWith(last) && word.includes(last)));
    }
    this.at = -1;
    this.list.replaceChildren(...fits.slice(0, 8).map((word, i) => element("li", {
      role: "option", id: `hint-${i}`, "aria-selected": "false",
      onpointerdown: (event) => {
        event.preventDefault();
        this.take(word);
      },
    }, word)));
    this.list.hidden = !fits.length;
    this.input.setAttribute("aria-expanded", String(Boolean(fits.length)));
  }

  key(event) {
    const options = [...this.list.children];
    if (this.list.hidden || !options.length) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      this.at = (this.at + step + options.length + 1) % (options.length + 1);
      options.forEach((one, i) => one.setAttribute("aria-selected", String(i === this.at)));
      const active = options[this.at];
      if (active) this.input.setAttribute("aria-activedescendant", active.id);
      else this.input.removeAttribute("aria-activedescendant");
    } else if (event.key === "Enter" && options[this.at]) {
      event.preventDefault();
      this.take(options[this.at].textContent);
    } else if (event.key === "Escape") this.hide();
  }

  take(word) {
    const parts = this.input.value.split(/([;,])/);
    parts[parts.length - 1] = `${parts.length > 1 ? " " : ""}${word}`;
    this.input.value = parts.join("");
    this.hide();
  }

  hide() {
    this.list.hidden = true;
    this.at = -1;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }
}
