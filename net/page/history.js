// Conversations of before, in the browser's database; where it keeps nothing, until the page is left.
const kDatabase = "fastvlm", kStore = "conversations";
const kMost = 200;
let database = null, opened = false;
const known = new Map();   // id -> conversation, in the order of their beginning

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

const store = (mode) => database.transaction(kStore, mode).objectStore(kStore);

export async function openHistory() {
  try {
    const request = indexedDB.open(kDatabase, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(kStore, { keyPath: "id" });
    database = await done(request);
    for (const conversation of await done(store("readonly").getAll())) known.set(conversation.id, conversation);
  } catch {
    database = null;
  } finally {
    opened = true;
  }
}

// Until the browser has answered, it is taken for one that keeps.
export const isKept = () => database !== null || !opened;
// The newest first.
export const conversations = () => [...known.values()].sort((a, b) => b.id - a.id);

async function write(work) {
  try {
    if (database !== null) await done(work(store("readwrite")));
  } catch {
    database = null;   // it is full, or was taken away
  }
}

export async function save(conversation) {
  known.set(conversation.id, conversation);
  await write((conversations) => conversations.put(conversation));
  for (const old of conversations().slice(kMost)) await remove(old.id);
}

export async function remove(id) {
  known.delete(id);
  await write((conversations) => conversations.delete(id));
}

export async function clearHistory() {
  known.clear();
  await write((conversations) => conversations.clear());
}
