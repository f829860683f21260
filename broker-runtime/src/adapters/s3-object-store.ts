import {
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import type { PutObjectCommandInput, S3Client } from '@aws-sdk/client-s3';
import { crc32c } from '../base/crc32c.ts';
import { ClosedError, MillraceError } from '../base/errors.ts';
import { MemoryShare } from '../base/memory-budget.ts';
import type { Env } from '../ports/env.ts';
import { ObjectStoreError } from '../ports/object-store.ts';
import type {
  ByteRange,
  ListPage,
  ObjectInfo,
  ObjectStore,
  PutCondition,
  PutOutcome,
  StoredObject,
} from '../ports/object-store.ts';
import { backoffMs } from '../base/backoff.ts';
import { Gate } from '../base/gate.ts';
import {
  checkDelete,
  checkKey,
  checkListing,
  checkRange,
  invalidRange,
  MAX_LIST_KEYS,
  notFound,
  totalLength,
} from './object-requests.ts';
import { base64OfUint32, destroyBody, join, rangeHeader, readBody, wholeSize } from './s3-bodies.ts';
import { classifyS3Failure, describeS3Error } from './s3-answers.ts';
import { createS3Client, MAX_CONNECTIONS } from './s3-client.ts';
import type { S3Options } from './s3-client.ts';

/** A request takes this long plus a second for each MiB it carries, then it is cut off. */
const REQUEST_TIMEOUT_MS = 10_000;
const SLOWEST_BYTES_PER_MS = (1024 * 1024) / 1000;

/**
 * Bodies of several pieces are joined for the time of their request. Together they take this much, or one body that is
 * larger alone; more wait. Three uploads of the store's default size fit side by side. Entries of the metadata log are
 * one piece, need no copy, and never wait here.
 */
const COPY_BYTES = 48 * 1024 * 1024;

/** What only reads, and delete, are repeated by us; the caller's loop owns puts. */
const ATTEMPTS = 4;
const BACKOFF = { firstMs: 100, maxMs: 2_000 };

/** Amazon S3, and what behaves like it. How answers are understood is in `s3-answers.ts`. */
export class S3ObjectStore implements ObjectStore {
  readonly #env: Env;
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #requests = new Gate(MAX_CONNECTIONS);
  readonly #copies = new MemoryShare('s3.copies', COPY_BYTES);
  #isClosed = false;

  constructor(env: Env, options: S3Options) {
    const { prefix = '' } = options;
    this.#env = env;
    this.#client = createS3Client(options);
    this.#bucket = options.bucket;
    this.#prefix = prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`;
  }

  async put(key: string, body: readonly Uint8Array[], condition: PutCondition): Promise<PutOutcome> {
    checkKey(key);
    const copyBytes = body.length > 1 ? totalLength(body) : 0;
    if (copyBytes > 0) await this.#copies.take(copyBytes);
    try {
      return await this.#putPieces(key, body, condition);
    } finally {
      this.#copies.release(copyBytes);
    }
  }

  #putPieces(key: string, body: readonly Uint8Array[], condition: PutCondition): Promise<PutOutcome> {
    return this.#requests.run(async () => {
      this.#checkOpen();
      const joined = join(body);
      const input: PutObjectCommandInput = {
        ...this.#address(key),
        Body: joined,
        ContentLength: joined.length,
        ChecksumCRC32C: base64OfUint32(crc32c(joined)),
        ...(condition.kind === 'absent' ? { IfNoneMatch: '*' } : { IfMatch: condition.etag }),
      };
      try {
        const answer = await this.#within(joined.length, (abortSignal) =>
          this.#client.send(new PutObjectCommand(input), { abortSignal }),
        );
        if (answer.ETag !== undefined) return { outcome: 'committed', etag: answer.ETag };
        return { outcome: 'unknown', cause: new Error('the answer has no ETag') };
      } catch (error) {
        return this.#putFailed(key, condition, error);
      }
    });
  }

  async get(key: string, range?: ByteRange, into?: Uint8Array): Promise<StoredObject> {
    checkKey(key);
    if (range !== undefined) checkRange(key, range);
    const input = { ...this.#address(key), ...(range === undefined ? {} : { Range: rangeHeader(range) }) };
    return this.#repeat('get', key, range, async () =>
      this.#within(range?.length ?? 0, async (abortSignal, extend) => {
        const answer = await this.#client.send(new GetObjectCommand(input), { abortSignal });
        const bodyBytes = answer.ContentLength ?? 0;
        if (range !== undefined && bodyBytes !== range.length) {
          destroyBody(answer);
          throw invalidRange(key, range, `${bodyBytes} of them`);
        }
        extend(bodyBytes);
        const body = await readBody(answer, into ?? new Uint8Array(bodyBytes), abortSignal);
        return { body, etag: answer.ETag ?? '', sizeBytes: wholeSize(answer, bodyBytes) };
      }),
    );
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    checkKey(key);
    try {
      return await this.#repeat('head', key, undefined, () =>
        this.#within(0, async (abortSignal) => {
          const answer = await this.#client.send(new HeadObjectCommand(this.#address(key)), { abortSignal });
          return { key, sizeBytes: answer.ContentLength ?? 0, etag: answer.ETag ?? '' };
        }),
      );
    } catch (error) {
      if (error instanceof ObjectStoreError && error.code === 'NOT_FOUND') return undefined;
      throw error;
    }
  }

  async list(
    prefix: string,
    options: { readonly after?: string; readonly limit?: number } = {},
  ): Promise<ListPage> {
    const limit = options.limit ?? MAX_LIST_KEYS;
    checkListing(prefix, limit);
    const command = new ListObjectsV2Command({
      Bucket: this.#bucket,
      Prefix: this.#prefix + prefix,
      MaxKeys: limit,
      ...(options.after === undefined ? {} : { StartAfter: this.#prefix + options.after }),
    });
    return this.#repeat('list', prefix, undefined, () =>
      this.#within(0, async (abortSignal) => {
        const answer = await this.#client.send(command, { abortSignal });
        const objects = (answer.Contents ?? []).map(({ Key = '', Size = 0, ETag = '' }) => ({
          key: Key.slice(this.#prefix.length),
          sizeBytes: Size,
          etag: ETag,
        }));
        return { objects, next: answer.IsTruncated === true ? objects.at(-1)?.key : undefined };
      }),
    );
  }

  async delete(keys: readonly string[]): Promise<void> {
    checkDelete(keys);
    if (keys.length === 0) return;
    const command = new DeleteObjectsCommand({
      Bucket: this.#bucket,
      Delete: { Objects: keys.map((key) => ({ Key: this.#prefix + key })), Quiet: true },
    });
    await this.#repeat('delete', keys[0] ?? '', undefined, () =>
      this.#within(0, async (abortSignal) => {
        const answer = await this.#client.send(command, { abortSignal });
        const [failed] = answer.Errors ?? [];
        if (failed === undefined || failed.Code === 'NoSuchKey') return;
        throw new ObjectStoreError(
          failed.Code === 'AccessDenied' ? 'DENIED' : 'UNAVAILABLE',
          `delete of ${failed.Key ?? ''} failed: ${failed.Code ?? ''} ${failed.Message ?? ''}`,
        );
      }),
    );
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#requests.idle();
    this.#client.destroy();
  }

  #address(key: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix + key };
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new ClosedError('the object store is closed');
  }

  #putFailed(key: string, condition: PutCondition, error: unknown): PutOutcome {
    const failure = classifyS3Failure(error);
    switch (failure) {
      case 'precondition':
        return { outcome: 'rejected', reason: condition.kind === 'absent' ? 'exists' : 'changed' };
      case 'conflict':
        return { outcome: 'conflict' };
      case 'absent':
        if (condition.kind === 'etag') return { outcome: 'rejected', reason: 'missing' };
        throw this.#denied('put', key, error);
      case 'denied':
      case 'range':
        throw this.#denied('put', key, error);
      case 'unavailable':
        return { outcome: 'unknown', cause: error };
    }
  }

  /** Repeats what does not change anything, or not twice, with growing random pauses. */
  async #repeat<T>(
    operation: string,
    key: string,
    range: ByteRange | undefined,
    attempt: () => Promise<T>,
  ): Promise<T> {
    for (let attempts = 1; ; attempts++) {
      try {
        return await this.#requests.run(() => {
          this.#checkOpen();
          return attempt();
        });
      } catch (error) {
        const told = this.#told(operation, key, range, error);
        const isLast = attempts === ATTEMPTS || this.#isClosed;
        if (isLast || !(told instanceof ObjectStoreError) || told.code !== 'UNAVAILABLE') throw told;
        this.#env.events.debug('s3.retry', { operation, key, attempts, cause: told.message });
      }
      await this.#env.clock.sleep(backoffMs(attempts - 1, BACKOFF, this.#env.random));
    }
  }

  #told(operation: string, key: string, range: ByteRange | undefined, error: unknown): MillraceError {
    if (error instanceof MillraceError) return error;
    const failure = classifyS3Failure(error);
    if (failure === 'absent') return notFound(key);
    if (failure === 'range' && range !== undefined) return invalidRange(key, range, 'fewer');
    if (failure === 'denied') return this.#denied(operation, key, error);
    return new ObjectStoreError('UNAVAILABLE', `${operation} of ${key}: ${describeS3Error(error).text}`, {
      cause: error,
    });
  }

  #denied(operation: string, key: string, cause: unknown): ObjectStoreError {
    return new ObjectStoreError(
      'DENIED',
      `${operation} of ${key} in bucket ${this.#bucket} was refused (${describeS3Error(cause).text}): ` +
        'check the bucket, its region, the credentials and the policy of the role',
      { cause },
    );
  }

  /**
   * Runs a request and cuts it off when its time is over. The SDK destroys the socket before it rejects, so
   * nothing of the body is read after that (P11).
   */
  async #within<T>(
    bytes: number,
    request: (signal: AbortSignal, extend: (bytes: number) => void) => Promise<T>,
  ): Promise<T> {
    const abort = new AbortController();
    const cutOff = (afterBytes: number) =>
      this.#env.clock.timer(REQUEST_TIMEOUT_MS + afterBytes / SLOWEST_BYTES_PER_MS, () => abort.abort());
    let timer = cutOff(bytes);
    const extend = (moreBytes: number): void => {
      timer.cancel();
      timer = cutOff(moreBytes);
    };
    try {
      return await request(abort.signal, extend);
    } finally {
      timer.cancel();
    }
  }
}
