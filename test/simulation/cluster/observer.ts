import { MetadataImage } from '../../../broker-runtime/src/metadata/metadata-image.ts';
import { ManifestImage } from '../../../broker-runtime/src/store/manifest-image.ts';
import { objectIdOfKey, objectKey } from '../../../broker-runtime/src/store/object-key.ts';
import { LogFollower } from '../../../broker-runtime/src/wal/log-follower.ts';
import { MemoryObjectStore, type SimBucket } from '../world/memory-object-store.ts';
import type { SimClock } from '../world/sim-clock.ts';
import { SilentEvents } from '../world/sim-events.ts';
import { SimRandom } from '../world/sim-random.ts';

const LOG_PREFIX = 'meta/log/';
const DATA_PREFIX = 'data/';

/**
 * Sees the bucket itself, not through any broker: folds every entry of the metadata log the moment it is stored, so
 * what is committed is known at every instant. Checks I18 and I19 (by folding), I23 and I24.
 */
export class Observer {
  readonly metadata = new MetadataImage();
  readonly manifest = new ManifestImage();
  entries = 0;
  readonly #bucket: SimBucket;
  readonly #clock: SimClock;
  readonly #violate: (what: string) => void;
  #follower: LogFollower | undefined;
  #opening: Promise<void> | undefined;
  #checkedObjectId = 0;

  constructor(bucket: SimBucket, clock: SimClock, violate: (what: string) => void) {
    this.#bucket = bucket;
    this.#clock = clock;
    this.#violate = violate;
    bucket.onPut = (key, body, isNew) => this.#stored(key, body, isNew);
    bucket.onDelete = (key) => this.#deleted(key);
  }

  get sequence(): number {
    return this.#follower?.sequence ?? 0;
  }

  #stored(key: string, body: Uint8Array, isNew: boolean): void {
    if (!key.startsWith(LOG_PREFIX)) return;
    this.entries++;
    if (!isNew) this.#violate(`I18: ${key} was overwritten`);
    if (this.#follower === undefined) this.#opening ??= this.#open();
    else this.#apply(this.#follower, body);
  }

  async #open(): Promise<void> {
    const env = { clock: this.#clock, random: new SimRandom(1), events: new SilentEvents() };
    const store = new MemoryObjectStore(undefined, this.#bucket);
    const follower = await LogFollower.open(env, store, [this.manifest, this.metadata]);
    if (follower === undefined) this.#violate('I18: there is a log entry and no floor');
    else await follower.catchUp();
    this.#follower = follower;
  }

  #apply(follower: LogFollower, body: Uint8Array): void {
    try {
      follower.apply([body]);
      this.metadata.takeChanges();
    } catch (error) {
      this.#violate(`I18/I19: an entry does not fit the log: ${String(error)}`);
      return;
    }
    this.checkObjects();
  }

  /** I23: what became committed since the last look is there, in its recorded size. */
  checkObjects(): void {
    const last = this.#checkedObjectId;
    for (let id = Math.max(1, last - 64); this.manifest.object(id) !== undefined || id <= last; id++) {
      const object = this.manifest.object(id);
      this.#checkedObjectId = Math.max(this.#checkedObjectId, id);
      if (object?.state === 'committed') this.#checkObject(id, object.sizeBytes);
    }
  }

  /** I23 for all of them. */
  checkAllObjects(): void {
    for (let id = 1; id <= this.#checkedObjectId; id++) {
      const object = this.manifest.object(id);
      if (object?.state === 'committed') this.#checkObject(id, object.sizeBytes);
    }
  }

  #checkObject(id: number, sizeBytes: number): void {
    const stored = this.#bucket.objects.get(objectKey(id));
    if (stored?.body.length !== sizeBytes) {
      this.#violate(
        `I23: object ${id} of ${sizeBytes} bytes is named, stored are ${stored?.body.length ?? 'none'}`,
      );
    }
  }

  #deleted(key: string): void {
    if (key.startsWith(LOG_PREFIX)) this.#violate(`${key} was deleted inside the grace period`);
    if (!key.startsWith(DATA_PREFIX)) return;
    const id = objectIdOfKey(key);
    const object = id === undefined ? undefined : this.manifest.object(id);
    if (object?.state === 'committed' || object?.state === 'prepared') {
      this.#violate(`I24: ${key} was deleted while it is ${object.state}`);
    }
  }
}
