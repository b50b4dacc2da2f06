// Earlier edits, in this browser alone: bounded in number and bytes, the oldest go first.
const NAME = "easel";
const STORE = "edits";
export const MOST_EDITS = 40;
export const MOST_BYTES = 100e6;

let opening = null;

function database() {
  opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id", autoIncrement: true });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opening;
}

async function within(mode, work) {
  const transaction = (await database()).transaction(STORE, mode);
  const ended = new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = () => reject(transaction.error);
    transaction.onerror = () => reject(transaction.error);
  });
  const result = work(transaction.objectStore(STORE));
  await ended;
  return result.result;
}

const weight = ({ before, images }) => images.reduce((sum, image) => sum + image.blob.size, before.size);

/** Which of `edits` (the newest first) are beyond the bounds. */
export function beyond(edits, mostEdits = MOST_EDITS, mostBytes = MOST_BYTES) {
  let bytes = 0;
  return edits.filter((edit, place) => {
    bytes += weight(edit);
    return place >= mostEdits || (bytes > mostBytes && place > 0);
  });
}

/** All that are kept, the newest first; none where the browser keeps nothing. */
export async function edits() {
  try {
    return (await within("readonly", (store) => store.getAll())).reverse();
  } catch {
    return [];
  }
}

/** Keep an edit {at, name, before, images: [{blob, seed, nsfw}], ...}. Returns all, as `edits`. */
export async function keep(edit) {
  try {
    await within("readwrite", (store) => store.add(edit));
    for (const { id } of beyond(await edits())) await forget(id);
  } catch {
    // Storage is switched off or full: the page works without.
  }
  return edits();
}

export const forget = (id) => within("readwrite", (store) => store.delete(id));
export const clear = () => within("readwrite", (store) => store.clear());
