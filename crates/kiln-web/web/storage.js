// The runs of the page in the browser: a copy of the session's files in IndexedDB.
//
// All files of a batch are written in one transaction, so that the copy is always that of one moment: a tab that is killed
// while it writes leaves the copy before. A Web Lock makes one tab the writer; others read.

const DATABASE = 'kiln';
const FILES = 'files';
const LOCK = 'kiln-files';

/** Opens the copy. Never fails: without IndexedDB, `message` says why nothing is kept. */
export async function openStore() {
  try {
    const writes = await takeLock();
    const database = await openDatabase();
    return new Store(database, writes ? null : 'another tab of this page keeps the runs: what this tab trains is not saved');
  } catch (error) {
    return new Store(null, `this browser keeps no files for the page (${error.message || error.name}): runs are not saved`);
  }
}

export class Store {
  /** @param {IDBDatabase?} database @param {string?} message why nothing is written; null: it is. */
  constructor(database, message) {
    this.database = database;
    this.message = message;
    /** Paths that could not be written. */
    this.unsaved = new Set();
    this.last = Promise.resolve();
  }

  /** All files: pairs of path and `Uint8Array`. */
  async readAll() {
    if (!this.database) return [];
    const files = this.database.transaction(FILES).objectStore(FILES);
    const [paths, contents] = await Promise.all([settled(files.getAllKeys()), settled(files.getAll())]);
    return paths.map((path, index) => [path, contents[index]]);
  }

  /**
   * Writes changes: pairs of path and `Uint8Array`, or null for a file that is gone. Earlier writes end first. `read` returns
   * the contents of a path, for files that could not be written before.
   * @returns {Promise<string?>} why they could not be written; null if they were
   */
  write(changes, read) {
    const result = this.last.then(() => this.writeNow(changes, read));
    this.last = result;
    return result;
  }

  async writeNow(changes, read) {
    if (this.message) return this.message;
    const batch = new Map([...this.unsaved].map((path) => [path, read(path)]));
    for (const [path, bytes] of changes) batch.set(path, bytes);
    if (batch.size === 0) return null;
    try {
      await this.transact(batch);
      this.unsaved.clear();
      return null;
    } catch (error) {
      for (const path of batch.keys()) this.unsaved.add(path);
      return sentence(error);
    }
  }

  transact(batch) {
    return new Promise((resolve, reject) => {
      const transaction = this.database.transaction(FILES, 'readwrite', { durability: 'strict' });
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
      const files = transaction.objectStore(FILES);
      for (const [path, bytes] of batch) {
        if (bytes) files.put(bytes, path);
        else files.delete(path);
      }
    });
  }
}

function sentence(error) {
  if (error?.name === 'QuotaExceededError') {
    return "the browser's storage for this page is full: download or delete runs; what is trained goes on unsaved";
  }
  return `the browser could not save: ${error?.message || error?.name || 'unknown error'}`;
}

function openDatabase() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(FILES);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error('another tab holds an older version'));
  });
}

/** Whether this tab got the lock, which it keeps until it is closed. */
function takeLock() {
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((resolve, reject) => {
    const held = navigator.locks.request(LOCK, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock === null ? undefined : new Promise(() => {});
    });
    held.catch(reject);
  });
}

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
