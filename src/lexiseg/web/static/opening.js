// Photos, projects and examples are opened.
import * as api from "./api.js";
import { find } from "./finding.js";
import { $, say, store } from "./page.js";
import { bitmapOf, photoOf } from "./photos.js";
import { openProject } from "./project.js";
import { text } from "./strings.js";

export async function addFiles(files) {
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
