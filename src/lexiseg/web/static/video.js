// A video: its frames, what is followed through them, and the player.
import * as api from "./api.js";
import { chosenStep } from "./editing.js";
import { $, mode, paintMasks, say, stem, view, work } from "./page.js";
import { showTracks } from "./panels.js";
import { download } from "./project.js";
import { text } from "./strings.js";

const FILES = { "video-overlay": "overlay", "video-tracks": "tracks", "video-mot": "mot" };
const ENDINGS = { overlay: "-masks.mp4", tracks: "-tracks.json", mot: "-mot.txt" };
const TYPES = { overlay: "video/mp4", tracks: "application/json", mot: "text/plain" };
const NO_VIDEO = ["cutout", "mask"];

const empty = () => ({
  file: null, head: null, frames: [], at: 0, points: [], objects: new Map(), files: {},
});
let now = empty();
let selected = new Set(); // identities
let hidden = new Set();
let playing = null;
let shown = 0; // counts pictures that were asked for, so that a late one does not cover a newer

// frames: { seconds, jpeg (a Blob), masks }.

export async function openVideo(file) {
  if (!file) return;
  pause();
  now = { ...empty(), file };
  selected = new Set();
  hidden = new Set();
  renderVideo();
  const mine = now;
  await work(text("readingFrames", { count: 0, name: file.name }), async (signal) => {
    const body = new FormData();
    body.set("video", file, "video");
    for await (const line of api.lines("/v1/frames", body, signal)) {
      if (line.head) mine.head = line.head;
      if (line.jpeg === undefined) continue;
      mine.frames.push({ seconds: line.seconds, jpeg: api.blobOf(line.jpeg, "image/jpeg"), masks: [] });
      if (mine.frames.length === 1) renderVideo();
      else renderPlayer();
      say(text("busy", { what: text("readingFrames", { count: mine.frames.length, name: file.name }) }));
    }
    return "";
  });
  if (now === mine && !now.frames.length) now = empty();
  renderVideo();
}

// Follow words and points; steps: edits of each frame, whose video is downloaded.
export async function follow(steps = []) {
  if (!now.frames.length) return;
  const words = $("words").value.trim() || null;
  if (!words && !now.points.length) return say(text("noVideo"), true);
  pause();
  paintMasks(true);
  const mine = now;
  await work(text("finding", { words: words ?? text("toolPoint") }), async (signal) => {
    const files = steps.length ? [] : Object.values(FILES);
    const asked = { words, points: mine.points, steps, files };
    const body = new FormData();
    body.set("video", mine.file, "video");
    body.set("request", JSON.stringify(asked));
    if (!steps.length) {
      for (const frame of mine.frames) frame.masks = [];
      mine.objects = new Map();
      selected = new Set();
      hidden = new Set();
      renderVideo();
    }
    for await (const line of api.lines("/v1/track", body, signal)) {
      if (line.summary) mine.files = { ...(steps.length ? mine.files : {}), ...line.summary.files };
      if (line.frame === undefined || !mine.frames[line.frame]) continue;
      say(text("busy", { what: text("following", { at: line.frame + 1, count: mine.frames.length }) }));
      if (steps.length) continue;
      mine.frames[line.frame].masks = line.objects.map(maskOf);
      for (const one of line.objects) seen(mine.objects, one, line.frame);
      if (now === mine && mode() === "video") show(line.frame);
    }
    if (steps.length) save("edited", `-${steps[0].operation}.mp4`, "video/mp4");
    return text("followed", { count: mine.objects.size });
  });
  renderVideo();
}

export async function editVideo() {
  const words = [...new Set([...selected].map((id) => now.objects.get(id)?.word).filter(Boolean))];
  if (!words.length) return say(text("selectFirst"), true);
  const step = await chosenStep();
  if (step === null) return;
  if (NO_VIDEO.includes(step.operation)) return say(text("noVideoEdit", step), true);
  await follow([{ ...step, words }]);
}

function seen(objects, one, frame) {
  const before = objects.get(one.id) ?? { id: one.id, word: one.word, first: frame, seen: 0 };
  objects.set(one.id, { ...before, last: frame, seen: before.seen + 1, colour: colourOf(one.id) });
}

function maskOf(one) {
  return {
    id: one.id, word: `${one.word} ${one.id}`, rle: one.rle, area: one.area, box: one.box_xywh,
    score: one.score, colour: colourOf(one.id),
  };
}

// Hues a golden angle apart, as the video with masks has them.
function colourOf(id) {
  const hue = ((id * 0.61803) % 1) * 6;
  return [5, 3, 1].map((at) => {
    const k = (at + hue) % 6;
    return Math.round(255 * 0.95 * (1 - 0.75 * Math.max(0, Math.min(k, 4 - k, 1))));
  });
}

// --- what is shown ---------------------------------------------------------------------------

export async function renderVideo() {
  if (mode() !== "video") return;
  const open = now.frames.length > 0;
  $("empty").hidden = open;
  $("stage").hidden = !open;
  $("player").hidden = !open;
  $("undo").disabled = !now.points.length;
  $("redo").disabled = true;
  $("remarks").replaceChildren();
  for (const [id, name] of Object.entries(FILES)) $(id).disabled = !now.files[name];
  $("video-lines").disabled = !now.objects.size;
  renderPlayer();
  renderTracks();
  if (open) await show(now.at);
}

function renderPlayer() {
  const count = now.frames.length;
  $("scrub").max = String(Math.max(0, count - 1));
  const seconds = (now.frames[now.at]?.seconds ?? 0).toFixed(2);
  $("when").textContent = text("when", { at: now.at + 1, count, seconds });
}

function renderTracks() {
  showTracks($("list"), [...now.objects.values()], selected, hidden, {
    select: (id, event) => {
      if (event.shiftKey) selected.has(id) ? selected.delete(id) : selected.add(id);
      else selected = new Set([id]);
      renderVideo();
    },
    toggle: (id) => {
      hidden.has(id) ? hidden.delete(id) : hidden.add(id);
      renderVideo();
    },
    hover: (id) => {
      view.hovered = now.frames[now.at]?.masks.find((mask) => mask.id === id) ?? null;
      view.drawMarks();
    },
    go: (frame) => show(frame),
  });
}

async function show(at) {
  const frame = now.frames[at];
  if (!frame) return;
  now.at = at;
  $("scrub").value = String(at);
  renderPlayer();
  const mine = (shown += 1);
  const bitmap = await createImageBitmap(frame.jpeg);
  if (mine !== shown || mode() !== "video") return;
  view.setPhoto(bitmap, bitmap, now.head);
  view.setMasks(frame.masks.filter((mask) => !hidden.has(mask.id)), [...selected]);
  view.drawMarks(now.points.filter((one) => one.frame === at).map(({ point }) => ({ point })));
}

export const scrubTo = (at) => {
  pause();
  show(at);
};

export const stepBy = (count) => {
  scrubTo(Math.max(0, Math.min(now.frames.length - 1, now.at + count)));
};

function pause() {
  cancelAnimationFrame(playing);
  playing = null;
  $("play").textContent = "▶";
}

export function playOrPause() {
  if (playing !== null) return pause();
  const { frames } = now;
  if (now.at >= frames.length - 1) now.at = 0;
  const start = performance.now() - 1000 * frames[now.at].seconds;
  $("play").textContent = "❚❚";
  const step = (time) => {
    const seconds = (time - start) / 1000;
    let { at } = now;
    while (at + 1 < frames.length && frames[at + 1].seconds <= seconds) at += 1;
    if (at !== now.at) show(at);
    if (at + 1 >= frames.length) pause();
    else playing = requestAnimationFrame(step);
  };
  playing = requestAnimationFrame(step);
}

// --- what a person does ----------------------------------------------------------------------

export function addPoint({ point }) {
  if (!now.frames.length || !point) return;
  now.points = [...now.points, { frame: now.at, point }];
  say(text("pointsGiven", { count: now.points.length }));
  renderVideo();
}

export function undoPoint() {
  now.points = now.points.slice(0, -1);
  say(now.points.length ? text("pointsGiven", { count: now.points.length }) : "");
  renderVideo();
}

export function selectTrack(mask, event) {
  if (!event?.shiftKey) selected = new Set();
  if (mask) selected.add(mask.id);
  renderVideo();
}

function save(name, ending, type) {
  if (now.files[name]) download(api.blobOf(now.files[name], type), `${stem(now.file.name)}${ending}`);
}

export function listenToVideo() {
  for (const [id, name] of Object.entries(FILES)) {
    $(id).addEventListener("click", () => save(name, ENDINGS[name], TYPES[name]));
  }
  $("video-lines").addEventListener("click", () => {
    const lines = now.frames.map(({ seconds, masks }, frame) => JSON.stringify({
      frame, seconds, objects: masks.map(({ id, score, rle, area, box }) => ({
        id, word: now.objects.get(id).word, score, box_xywh: box, area, rle,
      })),
    }));
    download(new Blob([`${lines.join("\n")}\n`]), `${stem(now.file.name)}-masks.jsonl`);
  });
  for (const id of ["choose-video", "open-video"]) {
    $(id).addEventListener("click", () => $("video-file").click());
  }
  $("video-file").addEventListener("change", () => {
    openVideo($("video-file").files[0]);
    $("video-file").value = "";
  });
  $("play").addEventListener("click", playOrPause);
  $("scrub").addEventListener("input", () => scrubTo(Number($("scrub").value)));
}
