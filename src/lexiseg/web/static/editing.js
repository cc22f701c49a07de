// The selected masks are edited; masks and pictures are downloaded.
import * as api from "./api.js";
import { $, changePhoto, say, selectedMasks, stem, store, work } from "./page.js";
import { bitmapOf } from "./photos.js";
import { download } from "./project.js";
import { text } from "./strings.js";

const NEEDS = { // what an operation takes, and what that may be; the server names the styles
  replace: ["withColour", "withPicture"], background: ["transparent", "blur", "withColour", "withPicture"],
  recolour: ["withColour"], style: [],
};
const FIELD = { replace: "with_", background: "ground", recolour: "colour", style: "with_" };
let withPicture = null;

// Offer what the server can do.
export function setOperations(operations, styles) {
  NEEDS.style = styles;
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
  $("with-colour").hidden = $("with-kind").value !== "withColour";
}

export function takePicture(file) {
  withPicture = file ?? null;
}

export async function applyEdit() {
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
