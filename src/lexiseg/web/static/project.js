// A project in one file: photos, words, masks and edits.
import { photoOf } from "./photos.js";
import { text } from "./strings.js";
import { unzip, zip } from "./zip.js";

const VERSION = 1;

export async function saveProject(photos, current) {
  const entries = [];
  const listed = photos.map((photo, i) => {
    entries.push([`photos/${i}`, photo.blob]);
    if (photo.original !== photo.blob) entries.push([`originals/${i}`, photo.original]);
    const { name, masks, words, edits } = photo;
    return { name, masks, words, edits, type: photo.blob.type, originalType: photo.original.type };
  });
  const document = {
    lexiseg: VERSION, current: photos.findIndex((photo) => photo.id === current), photos: listed,
  };
  return zip([["project.json", JSON.stringify(document)], ...entries]);
}

// Return { photos, current }; throws where the file is no project.
export async function openProject(blob) {
  const files = await unzip(blob);
  const listed = await files.get("project.json")?.text();
  if (listed === undefined) throw new Error(text("noProject"));
  const document = parsed(listed);
  if (document.lexiseg !== VERSION) throw new Error(text("otherVersion", { version: document.lexiseg }));
  const whole = Array.isArray(document.photos) && document.photos.every((one, i) =>
    files.has(`photos/${i}`) && Array.isArray(one.masks) && one.masks.every((mask) =>
      mask.rle && Array.isArray(mask.box) && Array.isArray(mask.colour)));
  if (!whole) throw new Error(text("damaged"));
  const photos = document.photos.map((one, i) => {
    const made = photoOf(files.get(`photos/${i}`).slice(0, undefined, one.type), one.name);
    const before = files.get(`originals/${i}`);
    return {
      ...made,
      original: before ? before.slice(0, undefined, one.originalType) : made.blob,
      masks: one.masks,
      words: one.words,
      edits: one.edits,
    };
  });
  return { photos, current: photos[document.current]?.id ?? photos[0]?.id ?? null };
}

function parsed(listed) {
  try {
    return JSON.parse(listed);
  } catch {
    throw new Error(text("damaged"));
  }
}

export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
