import { FileObjectStore } from '../broker-runtime/src/adapters/file-object-store.ts';

/** Where data objects are stored; the metadata log is not held. */
const DATA_PREFIX = 'data/';

/**
 * Loaded before the broker (`--import`), so that a run can be measured without its uploads: after SIGUSR2 no data
 * object is stored until SIGUSR2 comes again. The broker itself is as it ships: it cuts, lays out and waits for the
 * first objects, as it does while the object store is down.
 */
let open: PromiseWithResolvers<undefined> | undefined;

process.on('SIGUSR2', () => {
  if (open === undefined) open = Promise.withResolvers();
  else {
    open.resolve(undefined);
    open = undefined;
  }
});

const put = Object.getOwnPropertyDescriptor(FileObjectStore.prototype, 'put')
  ?.value as FileObjectStore['put'];

FileObjectStore.prototype.put = async function (this: FileObjectStore, ...args) {
  if (args[0].startsWith(DATA_PREFIX)) await open?.promise;
  return put.apply(this, args);
};
