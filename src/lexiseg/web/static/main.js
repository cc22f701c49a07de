// What the page does, and when.
import * as api from "./api.js";
import { corrected, refine, toPaint } from "./correcting.js";
import { applyEdit, downloadAll, setOperations, showKind, showWith, takePicture } from "./editing.js";
import { find, findAll, like, likeSelected } from "./finding.js";
import { listenToKeys } from "./keys.js";
import { addFiles, openAny, openFile, openSample, setMode } from "./opening.js";
import { $, hints, mode, paintMasks, say, select, stem, store, view, work } from "./page.js";
import { download, saveProject } from "./project.js";
import { render, renderMasks } from "./showing.js";
import { text } from "./strings.js";
import { Tools } from "./tools.js";
import { addPoint, editVideo, follow, listenToVideo, selectTrack, undoPoint } from "./video.js";

const ofMode = (photo, video) => (...given) => (mode() === "video" ? video : photo)(...given);
const tools = new Tools(view, $("toolbar"), {
  select: ofMode(select, selectTrack), refine: ofMode(refine, addPoint), corrected, toPaint,
  like: (box) => like(box, store.photo, store.now.photos),
});

store.addEventListener("change", render);
view.addEventListener("hover", () => {
  for (const row of $("list").children) {
    row.classList.toggle("hovered", row.dataset.mask === String(view.hovered?.id));
  }
});

// --- wiring ----------------------------------------------------------------------------------

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  hints.hide();
  if (mode() === "video") follow();
  else find();
});
for (const name of ["photo", "video"]) {
  $(`mode-${name}`).addEventListener("click", () => changeMode(name));
}
$("everything").addEventListener("click", () => find(true));
$("everything").title = text("everythingHint");
$("find-all").addEventListener("click", findAll);
$("like-this").addEventListener("click", likeSelected);
$("undo").addEventListener("click", ofMode(() => store.undo(), undoPoint));
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
  if (mode() === "video") editVideo();
  else applyEdit();
});
$("operation").addEventListener("change", showWith);
$("with-kind").addEventListener("change", () => {
  showKind();
  if ($("with-kind").value === "withPicture") $("with-file").click();
});
$("with-file").addEventListener("change", () => takePicture($("with-file").files[0]));
for (const id of ["threshold", "min-size"]) $(id).addEventListener("input", () => { showValues(); renderMasks(); });
$("opacity").addEventListener("input", () => {
  view.options.opacity = Number($("opacity").value);
  showValues();
  view.paint();
});
$("show-masks").addEventListener("change", () => paintMasks($("show-masks").checked));
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
  openDropped([...event.dataTransfer.files]);
});
document.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (files.length) openDropped(files);
});

function openDropped(files) {
  openAny(files);
  tools.offer(mode());
}

function changeMode(name) {
  setMode(name);
  tools.offer(name);
}

listenToKeys(tools);
listenToVideo();

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
    + text("stronger", { command: facts.stronger });
  $("known").textContent = facts.known_words.join(", ");
  setOperations(facts);
  $("video-missing").hidden = facts.video_missing === null;
  $("choose-video").disabled = facts.video_missing !== null;
  $("video-missing").textContent = text("videoMissing", { command: facts.video_missing });
}

render();
start().catch((error) => say(text("failed", { message: error.message }), true));
