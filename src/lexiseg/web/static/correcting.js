// One mask is corrected, or made: by points and boxes, by the brush.
import * as api from "./api.js";
import { nextName, paintMasks, say, selectedMasks, store, view, work } from "./page.js";
import { masksOf } from "./photos.js";
import { newId } from "./store.js";
import { text } from "./strings.js";

const clicks = new Map(); // mask -> the clicks that made it what it is

// Points and boxes correct the one selected mask; without one they make a mask of their own.
export async function refine({ point, not, box }) {
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
  paintMasks(true);
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

export function corrected(mask, changes) {
  paintMasks(true);
  const { photo } = store;
  const known = photo.masks.some((one) => one.id === mask.id);
  const next = { ...mask, ...changes, edited: true };
  const masks = known
    ? photo.masks.map((one) => (one.id === mask.id ? next : one))
    : [...photo.masks, next];
  clicks.delete(mask.id);
  store.commit({ ...store.with(photo.id, { masks }), selected: [mask.id] });
}

export function toPaint(adding) {
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
