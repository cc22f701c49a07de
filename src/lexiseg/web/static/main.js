// What the page does, and when.
import * as api from "./api.js";
import { Hints, showMasks, showStrip } from "./panels.js";
import { bitmapOf, indexMapOf, masksOf, photoOf, remarksOf } from "./photos.js";
import { download, openProject, saveProject } from "./project.js";
import { mergeMasks, newId, Store } from "./store.js";
import { fillTexts, text } from "./strings.js";
import { Tools } from "./tools.js";
import { View } from "./view.js";

const $ = (id) => document.getElementById(id);
fillTexts(document);

const store = new Store();
const view = new View($("frame"));
const hints = new Hints($("words"), $("hints"));
const clicks = new Map(); // mask -> the clicks that made it what it is
let running = null; // of the request that is under way

// --- what is under way -----------------------------------------------------------------------

function say(message, bad = false) {
  $("status").textContent = message;
  $("status").classList.toggle("bad", bad);
}

// Do something that takes time; a newer request for the same takes its place.
async function work(what, task) {
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

// --- photos ----------------------------------------------------------------------------------

async function addFiles(files) {
  const photos = [];
  for (const file of files) {
    say(text("busy", { what: text("reading", { name: file.name }) }));
    if (file.name?.endsWith(".zip")) return openFile(file);
    try {
      await bitmapOf(file);
      photos.push(photoOf(file, file.name || "photo"));
    } catch (error) {
      say(text("notPicture", { name: file.name, message: error.message }), true);
      return;
    }
  }
  if (!photos.length) return;
  say("");
  const { now } = store;
  store.commit({ ...now, photos: [...now.photos, ...photos], current: photos[0].id, selected: [] });
}

async function openFile(file) {
  try {
    const opened = await openProject(file);
    store.reset({ ...opened, selected: [] });
    say(file.name);
  } catch (error) {
    say(text("failed", { message: `${file.name}: ${error.message}` }), true);
  }
}

async function openSample(sample) {
  const blob = await api.file(`/samples/${sample.name}`);
  await addFiles([new File([blob], sample.name, { type: "image/jpeg" })]);
  $("words").value = sample.words;
  await find();
}

// --- finding ---------------------------------------------------------------------------------

function changePhoto(id, changes) {
  store.commit(store.with(id, changes));
}

async function findIn(photo, asked, signal, first) {
  if (first) { // the map of all words, at once; then masks
    const dense = await api.segment(photo, { ...asked, masks: "index" }, signal);
    photo = { ...photo, digest: dense.image.digest };
    const colours = dense.vocabulary.map((one) =>
      [1, 3, 5].map((at) => parseInt(one.colour.slice(at, at + 2), 16)));
    const values = await indexMapOf(api.blobOf(dense.index_map, "image/png"));
    if (store.photo?.id === photo.id) view.setDense({ ...values }, colours);
  }
  const answer = await api.segment(photo, asked, signal);
  const now = store.now.photos.find((one) => one.id === photo.id);
  if (!now) return [];
  const found = masksOf(answer, "words");
  changePhoto(photo.id, {
    digest: answer.image.digest,
    masks: mergeMasks(now.masks, found),
    words: typeof asked.words === "string" ? asked.words : "",
    remarks: remarksOf(answer, text),
  });
  return found;
}

async function find(everything = false) {
  const { photo } = store;
  if (!photo) return;
  const words = $("words").value.trim();
  const asked = everything ? { everything: true, words: words || null } : { words: words || null };
  await work(text("finding", { words: words || text("everything") }), async (signal) => {
    const found = await findIn(photo, asked, signal, !everything);
    return text("done", { count: found.length });
  });
}

async function findAll() {
  const words = $("words").value.trim() || null;
  await work(text("finding", { words: words ?? text("everything") }), async (signal) => {
    let count = 0;
    for (const photo of store.now.photos) {
      count += (await findIn(photo, { words }, signal, false)).length;
    }
    return text("done", { count });
  });
}

// --- pointing --------------------------------------------------------------------------------

function select(mask, event) {
  const { selected } = store.now;
  let next = mask ? [mask.id] : [];
  if (event?.shiftKey) next = mask ? [...new Set([...selected, mask.id])] : selected;
  if (event?.altKey) next = mask ? selected.filter((id) => id !== mask.id) : selected;
  store.show({ ...store.now, selected: next });
}

function selectedMasks() {
  return store.photo?.masks.filter((mask) => store.now.selected.includes(mask.id)) ?? [];
}

// Points and boxes correct the one selected mask; without one they make a mask of their own.
async function refine({ point, not, box }) {
  const { photo } = store;
  const chosen = selectedMasks();
  const mask = chosen.length === 1 ? chosen[0] : null;
  if (not && !mask) return say(text("selectFirst"), true);
  const before = (mask && clicks.get(mask.id)) ?? { points: [], not_points: [], box: null };
  const given = {
    points: point && !not ? [...before.points, point] : before.points,
    not_points: point && not ? [...before.not_points, point] : before.not_points,
    box: box ?? before.box,
  };
  const marks = [
    ...given.points.map((at) => ({ point: at })),
    ...given.not_points.map((at) => ({ point: at, not: true })),
  ];
  view.drawMarks(marks);
  await work(text("refining"), async (signal) => {
    const asked = { ...given, mask: mask ? mask.rle : null };
    const answer = await api.refine(photo, asked, signal);
    const [made] = masksOf(answer, "click");
    if (!made) return text("nothingFound", { words: mask?.word ?? "" });
    const id = mask?.id ?? made.id;
    clicks.set(id, given);
    const next = mask
      ? { ...mask, rle: made.rle, area: made.area, box: made.box, quality: made.quality, edited: true }
      : { ...made, word: nextName("thing"), score: null, edited: true, origin: null };
    const now = store.photo.id === photo.id ? store.photo : photo;
    const masks = mask ? now.masks.map((one) => (one.id === id ? next : one)) : [...now.masks, next];
    store.commit({ ...store.with(photo.id, { masks, digest: answer.image.digest }), selected: [id] });
    view.drawMarks(marks);
    return "";
  });
}

function nextName(word) {
  const taken = new Set(store.photo.masks.map((mask) => mask.word));
  let number = 1;
  while (taken.has(`${word} ${number}`)) number += 1;
  return `${word} ${number}`;
}

async function like(box, source = store.photo, targets = [store.photo]) {
  const chosen = selectedMasks();
  const word = chosen[0]?.word ?? nextName("like");
  await work(text("finding", { words: word }), async (signal) => {
    let count = 0;
    for (const photo of targets) {
      const example = { box, word };
      if (photo.id !== source.id) example.image = await api.base64Of(source.blob);
      const answer = await api.segment(photo, { examples: [example] }, signal);
      const found = masksOf(answer, "like");
      const now = store.now.photos.find((one) => one.id === photo.id);
      changePhoto(photo.id, { digest: answer.image.digest, masks: [...now.masks, ...found] });
      count += found.length;
    }
    return text("done", { count });
  });
}

function corrected(mask, changes) {
  const { photo } = store;
  const known = photo.masks.some((one) => one.id === mask.id);
  const next = { ...mask, ...changes, edited: true };
  const masks = known
    ? photo.masks.map((one) => (one.id === mask.id ? next : one))
    : [...photo.masks, next];
  clicks.delete(mask.id);
  store.commit({ ...store.with(photo.id, { masks }), selected: [mask.id] });
}

function toPaint(adding) {
  const chosen = selectedMasks();
  if (chosen.length === 1) return chosen[0];
  if (!adding) {
    say(text("selectFirst"), true);
    return null;
  }
  return {
    id: newId(), origin: null, word: nextName("thing"), colour: [246, 97, 81], score: null,
    quality: null, rle: null, reading: null, visible: true, edited: true, source: "brush",
  };
}

const tools = new Tools(view, $("toolbar"), {
  select, refine, corrected, toPaint,
  like: (box) => like(box, store.photo, store.now.photos),
});

// --- edits -----------------------------------------------------------------------------------

const NEEDS = { // what --with gives, and what it may be
  replace: ["withColour", "withPicture"], background: ["transparent", "blur", "withColour", "withPicture"],
  recolour: ["withColour"], style: ["cartoon", "sketch", "watercolour", "grey", "sepia"],
};
const FIELD = { replace: "with_", background: "ground", recolour: "colour", style: "with_" };
let withPicture = null;

function showWith() {
  const kinds = NEEDS[$("operation").value];
  $("with").hidden = !kinds;
  if (!kinds) return;
  $("with-kind").replaceChildren(...kinds.map((kind) => {
    const option = new Option(kind.startsWith("with") ? text(kind) : kind, kind);
    return option;
  }));
  $("with-colour").hidden = $("with-kind").value !== "withColour";
}

async function applyEdit() {
  const { photo } = store;
  const chosen = selectedMasks();
  if (!photo || !chosen.length) return say(text("selectFirst"), true);
  const operation = $("operation").value;
  const step = { operation, masks: chosen.map((mask) => mask.rle), options: {} };
  if (NEEDS[operation]) {
    const kind = $("with-kind").value;
    if (kind === "withPicture") {
      if (!withPicture) return $("with-file").click();
      step.image = await api.base64Of(withPicture);
    } else step.options[FIELD[operation]] = kind === "withColour" ? $("with-colour").value : kind;
  }
  await work(text("editing", { operation }), async (signal) => {
    const answer = await api.edit(photo, { steps: [step], format: "png" }, signal);
    const blob = api.blobOf(answer.files[0].data, "image/png");
    if (operation === "cutout" || operation === "mask") { // no whole picture: it is a file
      download(blob, `${stem(photo.name)}-${operation}.png`);
      return "";
    }
    const gone = operation === "remove" ? new Set(chosen.map((mask) => mask.id)) : new Set();
    changePhoto(photo.id, {
      blob, digest: null, edits: [...photo.edits, { operation, words: chosen.map((m) => m.word) }],
      masks: photo.masks.filter((mask) => !gone.has(mask.id)),
    });
    return answer.steps.flatMap((one) => one.notes).join("; ");
  });
}

const stem = (name) => name.replace(/\.[^.]*$/, "");

// --- files -----------------------------------------------------------------------------------

async function downloadAll() {
  const format = $("format").value;
  await work(text("exporting"), async () => {
    const photos = [];
    for (const photo of store.now.photos) {
      const { width, height } = await bitmapOf(photo.blob);
      photos.push({
        name: photo.name, height, width,
        image: format === "ora" ? await api.base64Of(photo.blob) : null,
        masks: photo.masks.filter((mask) => mask.visible).map((mask) => ({
          word: mask.word, score: mask.score ?? 1, rle: mask.rle,
        })),
      });
    }
    download(await api.exportMasks({ format, photos }), `lexiseg-${format}.zip`);
    return "";
  });
}

// --- showing ---------------------------------------------------------------------------------

let shownBlob = null;

async function render() {
  const { now, photo } = store;
  $("empty").hidden = Boolean(photo);
  $("stage").hidden = !photo;
  $("find-all").hidden = now.photos.length < 2;
  $("undo").disabled = !store.canUndo;
  $("redo").disabled = !store.canRedo;
  showStrip($("strip"), now.photos, now.current, {
    open: (one) => store.show({ ...store.now, current: one.id, selected: [] }),
    close: (one) => {
      const photos = store.now.photos.filter((other) => other.id !== one.id);
      const current = store.now.current === one.id ? photos[0]?.id ?? null : store.now.current;
      store.commit({ photos, current, selected: [] });
    },
    add: () => $("files").click(),
  });
  if (photo && photo.blob !== shownBlob) {
    shownBlob = photo.blob;
    const [bitmap, original] = await Promise.all([bitmapOf(photo.blob), bitmapOf(photo.original)]);
    if (store.photo?.blob !== photo.blob) return;
    view.setPhoto(bitmap, original);
  }
  if (!photo) shownBlob = null;
  $("compare-row").hidden = !photo || photo.blob === photo.original;
  renderMasks();
}

function renderMasks() {
  const { now, photo } = store;
  const pixels = view.bitmap ? view.bitmap.width * view.bitmap.height : 1;
  const least = Number($("threshold").value);
  const size = Number($("min-size").value) ** 3; // most of the slider is for small things
  const shown = (photo?.masks ?? []).filter((mask) => mask.visible && mask.area / pixels >= size
    && (mask.score === null || mask.edited || mask.score >= least));
  if (photo) view.setMasks(shown, now.selected);
  showMasks($("list"), photo, new Set(shown.map((mask) => mask.id)), now.selected, pixels, {
    select,
    hover: (mask) => {
      view.hovered = mask;
      view.drawMarks();
    },
    toggle: (mask) => change(mask, { visible: !mask.visible }),
    rename: (mask, word) => change(mask, { word, edited: true }),
    drop: (mask) => changePhoto(photo.id, { masks: photo.masks.filter((one) => one.id !== mask.id) }),
  });
  $("remarks").replaceChildren(...(photo?.remarks ?? []).map((remark) => {
    const line = document.createElement("p");
    line.textContent = remark;
    return line;
  }));
}

function change(mask, changes) {
  const { photo } = store;
  const masks = photo.masks.map((one) => (one.id === mask.id ? { ...one, ...changes } : one));
  changePhoto(photo.id, { masks });
}

store.addEventListener("change", render);
view.addEventListener("hover", () => {
  for (const row of $("list").children) {
    row.classList.toggle("hovered", row.dataset.mask === view.hovered?.id);
  }
});

// --- wiring ----------------------------------------------------------------------------------

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  hints.hide();
  find();
});
$("everything").addEventListener("click", () => find(true));
$("everything").title = text("everythingHint");
$("find-all").addEventListener("click", findAll);
$("undo").addEventListener("click", () => store.undo());
$("redo").addEventListener("click", () => store.redo());
$("choose").addEventListener("click", () => $("files").click());
$("files").addEventListener("change", () => {
  addFiles([...$("files").files]);
  $("files").value = "";
});
$("open").addEventListener("click", () => $("project-file").click());
$("project-file").addEventListener("change", () => openFile($("project-file").files[0]));
$("save").addEventListener("click", async () => {
  if (!store.photo) return;
  download(await saveProject(store.now.photos, store.now.current), `${stem(store.photo.name)}.lexiseg.zip`);
});
$("download-all").addEventListener("click", downloadAll);
$("download-picture").addEventListener("click", () => {
  const { photo } = store;
  if (photo) download(photo.blob, photo.blob === photo.original ? photo.name : `${stem(photo.name)}-edited.png`);
});
$("edit").addEventListener("submit", (event) => {
  event.preventDefault();
  applyEdit();
});
$("operation").addEventListener("change", showWith);
$("with-kind").addEventListener("change", () => {
  $("with-colour").hidden = $("with-kind").value !== "withColour";
  if ($("with-kind").value === "withPicture") $("with-file").click();
});
$("with-file").addEventListener("change", () => {
  withPicture = $("with-file").files[0] ?? null;
});
for (const id of ["threshold", "min-size"]) $(id).addEventListener("input", () => { showValues(); renderMasks(); });
$("opacity").addEventListener("input", () => {
  view.options.opacity = Number($("opacity").value);
  showValues();
  view.paint();
});
$("outline").addEventListener("change", () => {
  view.options.outline = $("outline").checked;
  view.paint();
});
$("brush-size").addEventListener("input", () => {
  tools.brush = Number($("brush-size").value);
  showValues();
});
$("compare").addEventListener("input", () => {
  view.options.compare = Number($("compare").value) || null;
  view.drawBase();
});
$("release").addEventListener("click", () => work(text("release"), async () => {
  await api.release();
  return text("released");
}));
$("theme").addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const { dataset } = document.documentElement;
  const now = dataset.theme ?? (dark ? "dark" : "light");
  dataset.theme = now === "dark" ? "light" : "dark";
});

function showValues() {
  for (const id of ["threshold", "min-size", "opacity", "brush-size"]) {
    const value = Number($(id).value);
    const share = `${(100 * value ** 3).toPrecision(2)} %`;
    document.querySelector(`output[for="${id}"]`).textContent = id === "min-size" ? share : String(value);
  }
}

const frame = $("frame");
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    frame.classList.add("dropping");
  });
}
document.addEventListener("dragleave", () => frame.classList.remove("dropping"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  frame.classList.remove("dropping");
  addFiles([...event.dataTransfer.files]);
});
document.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (files.length) addFiles(files);
});

// Keys: letters choose tools, unless a text is being typed.
document.addEventListener("keydown", (event) => {
  const control = event.ctrlKey || event.metaKey;
  if (control && event.key.toLowerCase() === "z") {
    event.preventDefault();
    if (event.shiftKey) store.redo();
    else store.undo();
    return;
  }
  if (event.target.matches("input:not([type=range]):not([type=checkbox]), select") || control) return;
  const tool = { v: "select", p: "point", b: "box", d: "brush", e: "erase", l: "like", h: "pan" };
  const key = event.key.toLowerCase();
  if (tool[key]) tools.choose(tool[key]);
  else if (key === "/") {
    event.preventDefault();
    $("words").focus();
  } else if (key === "+" || key === "=") tools.zoom(1.4);
  else if (key === "-") tools.zoom(1 / 1.4);
  else if (key === "0") tools.zoom(0);
  else if ((key === "delete" || key === "backspace") && selectedMasks().length) {
    const gone = new Set(store.now.selected);
    changePhoto(store.photo.id, { masks: store.photo.masks.filter((one) => !gone.has(one.id)) });
  } else if (event.key === " " && event.target === frame) {
    event.preventDefault();
    tools.space = true;
  } else if (event.target === frame && view.bitmap) pointerKey(event);
});
document.addEventListener("keyup", (event) => {
  if (event.key === " ") tools.space = false;
});

// A pointer for the keyboard: arrows move it, Enter clicks.
function pointerKey(event) {
  const step = (event.shiftKey ? 1 : 0.02 * view.bitmap.width);
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const [x, y] = view.pointer ?? [view.bitmap.width / 2, view.bitmap.height / 2];
  if (moves[event.key]) {
    event.preventDefault();
    const [dx, dy] = moves[event.key];
    const at = [
      Math.min(view.bitmap.width - 1, Math.max(0, x + dx * step)),
      Math.min(view.bitmap.height - 1, Math.max(0, y + dy * step)),
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

// --- start -----------------------------------------------------------------------------------

async function start() {
  showValues();
  for (const sample of await api.samples()) {
    const button = document.createElement("button");
    const image = document.createElement("img");
    image.src = `/samples/${sample.name}`;
    image.alt = sample.title;
    button.type = "button";
    button.title = `${sample.title}: ${sample.words}. ${sample.licence}`;
    button.append(image);
    button.addEventListener("click", () => openSample(sample));
    $("samples").append(button);
  }
  const facts = await api.models();
  hints.known = facts.known_words;
  const models = facts.models.join(", ");
  $("model").textContent = `${text("modelLine", { ...facts, models, count: facts.known_words.length })}. `
    + text("stronger", { command: "lexiseg models" });
  $("operation").replaceChildren(...facts.operations.map((one) => {
    const option = new Option(one.name, one.name);
    option.title = one.summary;
    return option;
  }));
  $("format").replaceChildren(...facts.export_formats.map((one) => new Option(one.summary, one.name)));
  showWith();
}

render();
start().catch((error) => say(text("failed", { message: error.message }), true));
