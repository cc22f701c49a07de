// Every text of the page. A language is one such table; texts in braces are filled in.
const english = {
  title: "lexiseg",
  tagline: "Say what you want in a picture, and get its masks.",
  drop: "Drop a photo here, paste one, or",
  choose: "choose photos",
  tryOne: "or try one of these:",
  words: "What to find",
  wordsHint: "sky; red car; person wearing a hat",
  find: "Find",
  findAll: "Find in all photos",
  everything: "Everything",
  everythingHint: "All things in the photo, whatever they are called",
  photos: "Photos",
  video: "Video",
  modes: "Photos or a video",
  videoTagline: "Follow things through a video.",
  dropVideo: "Drop a video here, or",
  chooseVideo: "choose a video",
  videoMissing: "Videos need one more package. End the server, then: {command}",
  noVideo: "Nothing yet. Type words above, or click on things with the point tool, then press Find.",
  notVideo: "{name} is no video; photos are opened under Photos",
  play: "Play or pause",
  scrub: "Frame",
  when: "{at} of {count} · {seconds} s",
  readingFrames: "reading frame {count} of {name}",
  following: "frame {at} of {count}",
  followed: "Followed: {count}",
  framesOf: "frames {first} to {last}, seen in {seen}",
  pointsGiven: "Points: {count}. Find follows them through the video, Undo takes the last one away.",
  videoOverlay: "Video with masks (MP4)",
  videoLines: "Masks of every frame (JSON lines)",
  videoTracks: "Tracks (YouTube-VIS JSON)",
  videoMot: "Boxes (MOT Challenge)",
  openVideo: "Open another video",
  noVideoEdit: "{operation} makes no video; choose another",
  frame: "The photo: arrow keys move the pointer, Enter clicks",
  addPhotos: "Add photos",
  removePhoto: "Close {name}",
  masks: "Found",
  none: "Nothing yet. Type words above, or click on a thing with the point tool.",
  nothingFound: "Nothing found for: {words}.",
  unknown: "Not known: {word}. Nearest: {nearest}.",
  unknownName: "Not known: {word} is a name that no dictionary holds.",
  stronger: "A larger model knows more words: {command}",
  known: "Words that it knows",
  show: "Show {word}",
  hide: "Hide {word}",
  rename: "Name of the mask",
  remove: "Delete {word}",
  likeThis: "Find more like the selected",
  score: "score {score}",
  size: "{share} of the photo",
  corrected: "corrected by hand",
  tools: "Tools",
  toolSelect: "Select (V): click selects, Shift adds, Alt takes away",
  toolPoint: "Point (P): click on a thing; Alt-click on what is not meant",
  toolBox: "Box (B): drag around a thing",
  toolBrush: "Brush (D): paint to add to the selected mask",
  toolErase: "Eraser (E): paint to take from the selected mask",
  toolLike: "Like (L): drag a box; finds what looks like it",
  toolPan: "Move (H), or hold Space",
  brushSize: "Brush size",
  showMasks: "Masks (M)",
  opacity: "Opacity",
  outline: "Outlines",
  threshold: "Least score",
  minSize: "Least size",
  zoomIn: "Zoom in (+)",
  zoomOut: "Zoom out (-)",
  zoomFit: "Fit (0)",
  undo: "Undo (Ctrl+Z)",
  redo: "Redo (Ctrl+Shift+Z)",
  edit: "Edit the selected",
  operation: "What to do",
  withWhat: "With",
  withPicture: "A picture",
  withColour: "A colour",
  withWords: "Words",
  withWordsHint: "a field of tulips",
  needsGenerator: "Words need a model that makes pictures. It is not here; to get it, end the server, "
    + "then: {command}",
  apply: "Apply",
  compare: "Compare with the original",
  selectFirst: "Select a mask first: click on it in the photo or in the list.",
  download: "Download",
  format: "Format",
  downloadAll: "Download all photos' masks",
  downloadPicture: "Download this picture",
  saveProject: "Save project",
  openProject: "Open project",
  model: "Model",
  modelLine: "{models} ({method}, {device}, {dtype}); knows {count} words",
  release: "Release memory",
  released: "The model and all encoded pictures were released; they load again when needed.",
  busy: "Working: {what}",
  reading: "reading {name}",
  finding: "finding {words}",
  whatIsThere: "what is there",
  refining: "refining",
  editing: "editing: {operation}",
  exporting: "writing files",
  done: "Masks: {count}",
  failed: "{message}",
  noProject: "it is no project",
  damaged: "the project is damaged",
  otherVersion: "it was saved by another version of lexiseg ({version})",
  notPicture: "{name} is not a picture that can be shown ({message})",
  serverGone: "The server does not answer; start it again with: lexiseg ui",
  readAs: "read as: {text}",
  theme: "Light or dark",
  help: "Keys",
  keys: "V select, P point, B box, D brush, E eraser, L like, H move; arrow keys move the pointer, "
    + "Enter clicks; Delete removes the selected; Tab goes through the list; + - 0 zoom; "
    + "M shows and hides masks; , and . go through a video's frames; "
    + "Ctrl+Z undoes; / goes to the words",
  pointerAt: "Pointer at {x}, {y}: {word}",
  noMask: "no mask",
};

const tables = { en: english };
const table = tables[(navigator.language || "en").slice(0, 2)] || english;

export function text(key, values = {}) {
  const found = table[key] ?? english[key] ?? key;
  return found.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

// Fill in elements that name their text: data-text (content), data-title (title and name), ...
export function fillTexts(root) {
  root.documentElement.lang = Object.keys(tables).find((name) => tables[name] === table);
  for (const one of root.querySelectorAll("[data-text]")) one.textContent = text(one.dataset.text);
  for (const one of root.querySelectorAll("[data-title]")) {
    one.title = text(one.dataset.title);
    one.setAttribute("aria-label", text(one.dataset.title));
  }
  for (const one of root.querySelectorAll("[data-placeholder]")) {
    one.placeholder = text(one.dataset.placeholder);
  }
}
