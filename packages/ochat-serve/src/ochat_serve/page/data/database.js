// Records in the browser's IndexedDB; what they mean is the library's business.

const VERSION = 1;
/** @type {Record<string, {index?: string}>} */
const STORES = {
  conversations: {},
  messages: { index: "conversation" },
  folders: {},
  presets: {},
  prompts: {},
  values: {},
};

/** @typedef {{store: string, put?: {id: string}, remove?: string}} Change */

/** @param {IDBRequest} request */
function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** The database of this browser. */
class Database {
  /** @param {IDBDatabase} connection */
  constructor(connection) {
    this.connection = connection;
    this.durable = true;
    // A newer page in another tab wants to change the layout: do not stand in its way.
    connection.onversionchange = () => connection.close();
  }

  #read(store) {
    return this.connection.transaction(store).objectStore(store);
  }

  /** @param {string} store */
  all(store) {
    return result(this.#read(store).getAll());
  }

  /** @param {string} store @param {string} id */
  get(store, id) {
    return result(this.#read(store).get(id));
  }

  /** The records of a store that belong to one conversation. */
  of(store, conversation) {
    return result(this.#read(store).index(STORES[store].index).getAll(conversation));
  }

  /**
   * Make all changes or none.
   * @param {Change[]} changes
   */
  write(changes) {
    if (!changes.length) return Promise.resolve();
    const names = [...new Set(changes.map((change) => change.store))];
    const transaction = this.connection.transaction(names, "readwrite");
    for (const { store, put, remove } of changes) {
      if (put) transaction.objectStore(store).put(put);
      else transaction.objectStore(store).delete(remove);
    }
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve(undefined);
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
  }
}

/** The same for a browser that keeps nothing (a private window, say): gone with the tab. */
class Memory {
  constructor() {
    this.durable = false;
    this.stores = Object.fromEntries(Object.keys(STORES).map((name) => [name, new Map()]));
  }

  async all(store) {
    return structuredClone([...this.stores[store].values()]);
  }

  async get(store, id) {
    return structuredClone(this.stores[store].get(id));
  }

  async of(store, conversation) {
    const { index } = STORES[store];
    return (await this.all(store)).filter((record) => record[index] === conversation);
  }

  async write(changes) {
    for (const { store, put, remove } of changes) {
      if (put) this.stores[store].set(put.id, structuredClone(put));
      else this.stores[store].delete(remove);
    }
  }
}

/** Open the database; one that forgets where the browser refuses. */
export async function openDatabase(name = "ochat") {
  try {
    const request = indexedDB.open(name, VERSION);
    request.onupgradeneeded = () => {
      for (const [store, { index }] of Object.entries(STORES)) {
        const made = request.result.createObjectStore(store, { keyPath: "id" });
        if (index) made.createIndex(index, index);
      }
    };
    return new Database(await result(request));
  } catch (error) {
    console.warn("Conversations cannot be kept:", error);
    return new Memory();
  }
}
