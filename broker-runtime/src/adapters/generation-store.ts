import type {
  ByteRange,
  ListPage,
  ObjectInfo,
  ObjectStore,
  PutCondition,
  PutOutcome,
  StoredObject,
} from '../ports/object-store.ts';

/**
 * One generation of a cluster in a store: every key gets the prefix, but for those that begin with a shared one, which
 * all generations have in common. A list shows what is shared only when its own prefix is.
 */
export class GenerationStore implements ObjectStore {
  readonly #store: ObjectStore;
  readonly #prefix: string;
  readonly #shared: string;

  /** @param shared a prefix that ends with '/' @param prefix ends with '/' */
  constructor(store: ObjectStore, prefix: string, shared: string) {
    this.#store = store;
    this.#prefix = prefix;
    this.#shared = shared;
  }

  put(key: string, body: readonly Uint8Array[], condition: PutCondition): Promise<PutOutcome> {
    return this.#store.put(this.#stored(key), body, condition);
  }

  get(key: string, range?: ByteRange, into?: Uint8Array): Promise<StoredObject> {
    return this.#store.get(this.#stored(key), range, into);
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    const info = await this.#store.head(this.#stored(key));
    return info === undefined ? undefined : { ...info, key };
  }

  async list(
    prefix: string,
    { after, limit }: { readonly after?: string; readonly limit?: number } = {},
  ): Promise<ListPage> {
    const stored = this.#stored(prefix);
    const hidden = stored.length - prefix.length;
    const page = await this.#store.list(stored, {
      ...(after === undefined ? {} : { after: this.#stored(after) }),
      ...(limit === undefined ? {} : { limit }),
    });
    return {
      objects: page.objects.map((info) => ({ ...info, key: info.key.slice(hidden) })),
      next: page.next?.slice(hidden),
    };
  }

  delete(keys: readonly string[]): Promise<void> {
    return this.#store.delete(keys.map((key) => this.#stored(key)));
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  #stored(key: string): string {
    return key.startsWith(this.#shared) ? key : this.#prefix + key;
  }
}
