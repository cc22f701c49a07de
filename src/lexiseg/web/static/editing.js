// The selected masks are edited; masks and pictures are downloaded.
import * as api from "./api.js";
import { $, changePhoto, mode, paintMasks, say, selectedMasks, stem, store, work } from "./page.js";
import { bitmapOf } from "./photos.js";
import { download } from "./project.js";
import { text } from "./strings.js";

const NEEDS = { // what an operation takes, and what that may be; the server names the styles
  replace: ["withColour", "withPicture", "withWords"], background: ["transparent", "blur", "withColour", "withPicture"],
  recolour: ["withColour"], style: [],
};
const FIELD = { replace: "with_", background: "ground", recolour: "colour", style: "with_" };
let withPicture = null;
let missing = null; // the command that gets what makes words into pixels
let withPhotos = new Set(); // formats that hold the pictures

// Offer what the server can do.
export function setOperations({ operations, styles, generator, export_formats: formats }) {
  NEEDS.style = [...styles, "withWords"];
  missing = generator.missing;
  withPhotos = new Set(formats.filter((one) => one.needs_photo).map((one) => one.name));
  $("format").replaceChildren(...formats.map((one) => new Option(one.summary, one.name)));
  $("operation").replaceChildren(...operations.map((one) => {
    const option = new Option(one.name, one.name);
    option.title = one.summary;
    return option;
  }));
  showWith();
}

export function showWith() {
  const kinds = NEEDS[$("operation").value];
  $("with").hidden = !kinds;
  if (!kinds) return;
  $("with-kind").replaceChildren(...kinds.map((kind) =>
    new Option(kind.startsWith("with") ? text(kind) : kind, kind)));
  showKind();
}

export function showKind() {
  const kind = $("with-kind").value;
  $("with-colour").hidden = kind !== "withColour";
  $("with-words").hidden = kind !== "withWords" || missing !== null;
  $("with-missing").hidden = kind !== "withWords" || missing === null;
  $("with-missing").textContent = text("needsGenerator", { command: missing });
}

export function takePicture(file) {
  withPicture = file ?? null;
}

// What the form asks for, without where: { operation, options, image }; null where it is not whole.
export async function chosenStep() {
  const operation = $("operation").value;
  const step = { operation, options: {} };
  if (!NEEDS[operation]) return step;
  const kind = $("with-kind").value;
  let value = kind;
  if (kind === "withPicture") {
    if (!withPicture) {
      $("with-file").click();
      return null;
    }
    return { ...step, image: await api.base64Of(withPicture) };
  }
  if (kind === "withColour") value = $("with-colour").value;
  if (kind === "withWords") {
    value = $("with-words").value.trim();
    if (missing !== null || !value) {
      say(missing === null ? text("withWords") : text("needsGenerator", { command: missing }), true);
      $("with-words").focus();
      return null;
    }
  }
  step.options[FIELD[operation]] = value;
  return step;
}

export async function applyEdit() {
  const { photo } = store;
  const chosen = selectedMasks();
  if (!photo || !chosen.length) return say(text("selectFirst"), true);
  const step = await chosenStep();
  if (step === null) return;
  const { operation } = step;
  step.masks = chosen.map((mask) => mask.rle);
  await work(text("editing", { operation }), async (signal) => {
    const answer = await api.edit(photo, { steps: [step], format: "png" }, signal);
    const blob = api.blobOf(answer.files[0].data, "image/png");
    if (operation === "cutout" || operation === "mask") { // no whole picture: it is a file
      download(blob, `${stem(photo.name)}-${operation}.png`);
      return "";
    }
    if (mode() === "photo") paintMasks(false); // what was made is to be seen
    const gone = operation === "remove" ? new Set(chosen.map((mask) => mask.id)) : new Set();
    const now = store.now.photos.find((one) => one.id === photo.id);
    if (!now) return ""; // closed meanwhile
    changePhoto(photo.id, {
      blob, digest: null, edits: [...now.edits, { operation, words: chosen.map((m) => m.word) }],
      masks: now.masks.filter((mask) => !gone.has(mask.id)),
    });
    return answer.steps.flatMap((one) => one.notes).join("; ");
  });
}

export async function downloadAll() {
  const format = $("format").value;
  await work(text("exporting"), async () => {
    const photos = [];
    for (const photo of store.now.photos) {
      const { width, height } = await bitmapOf(photo.blob);
      photos.push({
        name: photo.name, height, width,
        image: withPhotos.has(format) ? await api.base64Of(photo.blob) : null,
        masks: photo.masks.filter((mask) => mask.visible).map((mask) => ({
          word: mask.word, score: mask.score ?? 1, rle: mask.rle,
        })),
      });
    }
    download(await api.exportMasks({ format, photos }), `lexiseg-${format}.zip`);
    return "";
  });
}
