// The picture that is edited: read, measured, made smaller.
import { Problem } from "./problems.js";

export const ACCEPTED = "image/png,image/jpeg,image/webp,image/gif,image/bmp,image/avif";
export const SAMPLE = "page/sample.png";
const COMFORTABLE = 1024 * 1024;
const SIDES = [2048, 1536, 1024, 768, 512, 256, 128, 64];

/** {blob, name, width, height} of a file, upright as browsers show it. */
export async function opened(file, name = file.name || "picture.png") {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Problem({
      title: "This is no picture that a browser can show",
      advice: "Choose a PNG, JPEG, WebP, GIF, BMP or AVIF file.",
      said: name,
    });
  }
  const { width, height } = bitmap;
  bitmap.close();
  return { blob: file, name, width, height };
}

/** The sizes in which a picture can be sent, the largest first: {side, width, height}; side 0 is as it is. */
export function sizes({ width, height }, maxPixels) {
  const long = Math.max(width, height);
  const smaller = SIDES.filter((side) => side < long).map((side) => scaled(width, height, side));
  return [{ side: 0, width, height }, ...smaller].filter((size) => size.width * size.height <= maxPixels);
}

/** The size that is proposed: as it is, unless that is far more than models paint and people need to try something. */
export function proposed(choices) {
  return choices.find(({ width, height }) => width * height <= COMFORTABLE) ?? choices.at(-1);
}

function scaled(width, height, side) {
  const factor = side / Math.max(width, height);
  return { side, width: Math.max(1, Math.round(width * factor)), height: Math.max(1, Math.round(height * factor)) };
}

/** The file to send: the very file, or a PNG of `size`. */
export async function resized(picture, size) {
  if (!size.side) return picture.blob;
  const options = { resizeWidth: size.width, resizeHeight: size.height, resizeQuality: "high" };
  const bitmap = await createImageBitmap(picture.blob, options);
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: size.width, height: size.height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  return new Promise((resolve, reject) => {
    const done = (blob) =>
      blob ? resolve(blob) : reject(new Problem({ title: "The picture cannot be made smaller" }));
    canvas.toBlob(done, "image/png");
  });
}

export function save(url, name) {
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

/** The picture among what was dropped or pasted, if there is one. */
export const pictureIn = (transfer) => [...(transfer?.files ?? [])][0] ?? null;
