// Things are found: by words, everything, by what they look like.
import * as api from "./api.js";
import { $, changePhoto, nextName, paintMasks, say, selectedMasks, store, view, work } from "./page.js";
import { indexMapOf, masksOf, remarksOf } from "./photos.js";
import { mergeMasks } from "./store.js";
import { text } from "./strings.js";

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

export async function find(everything = false) {
  const { photo } = store;
  if (!photo) return;
  const words = $("words").value.trim();
  const asked = everything ? { everything: true, words: words || null } : { words: words || null };
  paintMasks(true);
  const what = words || text(everything ? "everything" : "whatIsThere");
  await work(text("finding", { words: what }), async (signal) => {
    const found = await findIn(photo, asked, signal, !everything);
    return text("done", { count: found.length });
  });
}

export async function findAll() {
  const words = $("words").value.trim() || null;
  paintMasks(true);
  await work(text("finding", { words: words ?? text("whatIsThere") }), async (signal) => {
    let count = 0;
    for (const photo of store.now.photos) {
      count += (await findIn(photo, { words }, signal, false)).length;
    }
    return text("done", { count });
  });
}

// What looks like what a box holds, in some photos. besides: whether the thing in the box counts.
export async function like(box, source, targets, besides = true) {
  const chosen = selectedMasks();
  const word = chosen[0]?.word ?? nextName("like");
  paintMasks(true);
  await work(text("finding", { words: word }), async (signal) => {
    let count = 0;
    for (const photo of targets) {
      const example = { box, word };
      if (photo.id !== source.id) example.image = await api.base64Of(source.blob);
      const answer = await api.segment(photo, { examples: [example] }, signal);
      const now = store.now.photos.find((one) => one.id === photo.id);
      if (!now) continue;
      let found = masksOf(answer, "like");
      if (!besides && photo.id === source.id) found = found.filter((mask) => !isSame(mask.box, box));
      changePhoto(photo.id, { digest: answer.image.digest, masks: [...now.masks, ...found] });
      count += found.length;
    }
    return text("done", { count });
  });
}

// More like the one selected mask: in the other photos, or in this one where it is alone.
export async function likeSelected() {
  const chosen = selectedMasks();
  if (chosen.length !== 1) return say(text("selectFirst"), true);
  const [x, y, width, height] = chosen[0].box;
  const { now, photo } = store;
  const others = now.photos.filter((one) => one.id !== photo.id);
  await like([x, y, x + width, y + height], photo, others.length ? others : [photo], false);
}

// Whether a box [x, y, width, height] is mostly another, [x0, y0, x1, y1].
function isSame([x, y, width, height], [x0, y0, x1, y1]) {
  const across = Math.min(x + width, x1) - Math.max(x, x0);
  const down = Math.min(y + height, y1) - Math.max(y, y0);
  const both = Math.max(0, across) * Math.max(0, down);
  return both > 0.5 * (width * height + (x1 - x0) * (y1 - y0) - both);
}
