// The server's routes. Every error is an Error whose message a person can read.
import { text } from "./strings.js";

async function call(path, options) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(text("serverGone"));
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => null);
  const error = new Error(told?.error?.message ?? `HTTP ${answer.status}`);
  error.status = answer.status;
  error.kind = told?.error?.type;
  throw error;
}

// Ask about a photo: by its digest where the server has it, else with the file.
async function ask(path, photo, asked, signal) {
  if (photo.digest) {
    try {
      const body = JSON.stringify({ ...asked, digest: photo.digest });
      const headers = { "content-type": "application/json" };
      return await (await call(path, { method: "POST", headers, body, signal })).json();
    } catch (error) {
      if (error.status !== 404) throw error;
    }
  }
  const body = new FormData();
  body.set("image", photo.blob, "image");
  body.set("request", JSON.stringify(asked));
  return (await call(path, { method: "POST", body, signal })).json();
}

export const segment = (photo, asked, signal) => ask("/v1/segment", photo, asked, signal);
export const refine = (photo, asked, signal) => ask("/v1/refine", photo, asked, signal);
export const edit = (photo, asked, signal) => ask("/v1/edit", photo, asked, signal);
export const models = async () => (await call("/v1/models")).json();
export const samples = async () => (await call("/samples")).json();
export const release = async () => (await call("/v1/release", { method: "POST" })).json();
export const file = async (path) => (await call(path)).blob();

export async function exportMasks(asked) {
  const headers = { "content-type": "application/json" };
  const answer = await call("/v1/export", { method: "POST", headers, body: JSON.stringify(asked) });
  return answer.blob();
}

// The lines of an answer, each as soon as it has come; one that tells an error is thrown.
export async function* lines(path, body, signal) {
  const answer = await call(path, { method: "POST", body, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let done = false; !done;) {
    const part = await reader.read().catch((error) => {
      if (error.name === "AbortError") throw error;
      throw new Error(text("serverGone"));
    });
    ({ done } = part);
    const pieces = (rest + (part.value ?? "")).split("\n");
    rest = pieces.pop();
    for (const piece of pieces) {
      const line = JSON.parse(piece);
      if (line.error) throw new Error(line.error.message);
      yield line;
    }
  }
}

export async function base64Of(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let out = "";
  for (let i = 0; i < bytes.length; i += 32768) {
    out += String.fromCharCode(...bytes.subarray(i, i + 32768));
  }
  return btoa(out);
}

export function blobOf(base64, type) {
  const raw = atob(base64);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
  return new Blob([bytes], { type });
}
