// Photos and masks as the page holds them, made of files and of the server's answers.
import { newId } from "./store.js";

export function photoOf(blob, name) {
  return { id: newId(), name, blob, original: blob, digest: null, masks: [], words: "", edits: [] };
}

const bitmaps = new WeakMap(); // Blob -> promise of its ImageBitmap

export function bitmapOf(blob) {
  let found = bitmaps.get(blob);
  if (found === undefined) {
    found = createImageBitmap(blob, { imageOrientation: "from-image" });
    bitmaps.set(blob, found);
  }
  return found;
}

const urls = new WeakMap();

export function urlOf(blob) {
  if (!urls.has(blob)) urls.set(blob, URL.createObjectURL(blob));
  return urls.get(blob);
}

function colourOf(text) {
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
}

// The masks of an answer. origin: what of a run a mask is, the same each time.
export function masksOf(answer, source) {
  const colours = new Map(answer.vocabulary.map((one) => [one.word, colourOf(one.colour)]));
  const readings = new Map(answer.phrases.map((one) => [one.word, one]));
  const counts = new Map();
  return answer.instances.map((one) => {
    const number = (counts.get(one.word) ?? 0) + 1;
    counts.set(one.word, number);
    return {
      id: newId(),
      origin: `${source}:${one.word}:${number}`,
      word: one.word,
      colour: colours.get(one.word),
      score: one.score,
      quality: one.quality,
      rle: one.rle,
      area: one.area,
      box: one.box_xywh,
      reading: readings.get(one.word)?.read_as ?? null,
      visible: true,
      edited: false,
      source,
    };
  });
}

// What there is to say about words that were not found.
export function remarksOf(answer, text) {
  const out = [];
  for (const one of answer.unknown) {
    const nearest = one.nearest.join(", ");
    out.push(one.is_name ? text("unknownName", { word: one.word })
      : text("unknown", { word: one.word, nearest }));
  }
  for (const one of answer.phrases) if (one.reason) out.push(`${one.word}: ${one.reason}`);
  const said = new Set([...answer.unknown, ...answer.phrases.filter((one) => one.reason)]
    .map((one) => one.word));
  const missing = answer.vocabulary.filter((one) => !one.pixels && !said.has(one.word));
  if (missing.length) {
    out.push(text("nothingFound", { words: missing.map((one) => one.word).join(", ") }));
  }
  return out;
}

// A label map that came as a PNG: { width, height, data }, 1 and up where a word is.
export async function indexMapOf(blob, largest = 2048) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const scale = Math.min(1, largest / Math.max(bitmap.width, bitmap.height));
  const width = Math.max(1, Math.round(bitmap.width * scale));
  const height = Math.max(1, Math.round(bitmap.height * scale));
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const draw = canvas.getContext("2d", { willReadFrequently: true });
  draw.imageSmoothingEnabled = false;
  draw.drawImage(bitmap, 0, 0, width, height);
  const pixels = draw.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(width * height);
  for (let i = 0; i < data.length; i += 1) data[i] = pixels[4 * i];
  return { width, height, data };
}
