// The page shows what is open.
import { showMasks, showStrip } from "./panels.js";
import { $, changePhoto, mode, select, store, view } from "./page.js";
import { bitmapOf } from "./photos.js";

let shownBlob = null;

export async function render() {
  if (mode() !== "photo") return;
  const { now, photo } = store;
  $("empty").hidden = Boolean(photo);
  $("stage").hidden = !photo;
  $("find-all").hidden = now.photos.length < 2;
  $("undo").disabled = !store.canUndo;
  $("redo").disabled = !store.canRedo;
  $("like-this").disabled = now.selected.length !== 1;
  showStrip($("strip"), now.photos, now.current, {
    open: (one) => store.show({ ...store.now, current: one.id, selected: [] }),
    close: (one) => {
      const photos = store.now.photos.filter((other) => other.id !== one.id);
      const current = store.now.current === one.id ? photos[0]?.id ?? null : store.now.current;
      store.commit({ photos, current, selected: [] });
    },
    add: () => $("files").click(),
  });
  if (photo && photo.blob !== shownBlob) {
    shownBlob = photo.blob;
    const [bitmap, original] = await Promise.all([bitmapOf(photo.blob), bitmapOf(photo.original)]);
    if (store.photo?.blob !== photo.blob) return;
    view.setPhoto(bitmap, original);
  }
  if (!photo) shownBlob = null;
  $("compare-row").hidden = !photo || photo.blob === photo.original;
  renderMasks();
}

// Show the photo again after something else was shown in its place.
export function renderAnew() {
  shownBlob = null;
  return render();
}

export function renderMasks() {
  if (mode() !== "photo") return;
  const { now, photo } = store;
  const pixels = view.bitmap ? view.bitmap.width * view.bitmap.height : 1;
  const least = Number($("threshold").value);
  const size = Number($("min-size").value) ** 3; // most of the slider is for small things
  const shown = (photo?.masks ?? []).filter((mask) => mask.visible && mask.area / pixels >= size
    && (mask.score === null || mask.edited || mask.score >= least));
  if (photo) view.setMasks(shown, now.selected);
  showMasks($("list"), photo, new Set(shown.map((mask) => mask.id)), now.selected, pixels, {
    select,
    hover: (mask) => {
      view.hovered = mask;
      view.drawMarks();
    },
    toggle: (mask) => change(mask, { visible: !mask.visible }),
    rename: (mask, word) => change(mask, { word, edited: true }),
    drop: (mask) => changePhoto(photo.id, { masks: photo.masks.filter((one) => one.id !== mask.id) }),
  });
  $("remarks").replaceChildren(...(photo?.remarks ?? []).map((remark) => {
    const line = document.createElement("p");
    line.textContent = remark;
    return line;
  }));
}

function change(mask, changes) {
  const { photo } = store;
  const masks = photo.masks.map((one) => (one.id === mask.id ? { ...one, ...changes } : one));
  changePhoto(photo.id, { masks });
}
