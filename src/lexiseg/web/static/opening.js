// Photos, projects and examples are opened.
import * as api from "./api.js";
import { find } from "./finding.js";
import { $, mode, say, store } from "./page.js";
import { bitmapOf, photoOf } from "./photos.js";
import { openProject } from "./project.js";
import { renderAnew } from "./showing.js";
import { text } from "./strings.js";
import { openVideo, renderVideo } from "./video.js";

// Of what was dropped or pasted, a video is opened as one.
export function openAny(files) {
  if (files[0]?.type.startsWith("video/")) {
    setMode("video");
    return openVideo(files[0]);
  }
  if (mode() === "video" && files[0] && files[0].type !== "image/gif") {
    return say(text("notVideo", { name: files[0].name }), true);
  }
  return mode() === "video" ? openVideo(files[0]) : addFiles(files);
}

export function setMode(name) {
  document.body.dataset.mode = name;
  for (const one of ["photo", "video"]) {
    $(`mode-${one}`).setAttribute("aria-pressed", String(one === name));
  }
  say("");
  return name === "video" ? renderVideo() : renderAnew();
}

export async function addFiles(files) {
  const photos = [];
  let wrong = null; // of some files that cannot be shown, the others open
  for (const file of files) {
    say(text("busy", { what: text("reading", { name: file.name }) }));
    if (file.name?.endsWith(".zip")) return openFile(file);
    try {
      await bitmapOf(file);
      photos.push(photoOf(file, file.name || "photo"));
    } catch (error) {
      wrong = text("notPicture", { name: file.name, message: error.message });
    }
  }
  say(wrong ?? "", wrong !== null);
  if (!photos.length) return;
  const { now } = store;
  store.commit({ ...now, photos: [...now.photos, ...photos], current: photos[0].id, selected: [] });
}

export async function openFile(file) {
  try {
    const opened = await openProject(file);
    store.reset({ ...opened, selected: [] });
    say(file.name);
  } catch (error) {
    say(text("failed", { message: `${file.name}: ${error.message}` }), true);
  }
}

export async function openSample(sample) {
  const blob = await api.file(`/samples/${sample.name}`);
  await addFiles([new File([blob], sample.name, { type: "image/jpeg" })]);
  $("words").value = sample.words;
  await find();
}
