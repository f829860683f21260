import type { GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { ObjectStoreError, type ByteRange } from '../ports/object-store.ts';
import { totalLength } from './object-requests.ts';

/** One body for one request: a copy costs 0.1 CPU s/GiB, handing the SDK a stream of pieces three times that. */
export function join(pieces: readonly Uint8Array[]): Uint8Array {
  const [first] = pieces;
  if (first !== undefined && pieces.length === 1) return first;
  const whole = new Uint8Array(totalLength(pieces));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

export function base64OfUint32(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes.toString('base64');
}

export function rangeHeader({ start, length }: ByteRange): string {
  return start < 0 ? `bytes=${start}` : `bytes=${start}-${start + length - 1}`;
}

/** `Content-Range: bytes 0-9/1000` tells the size of the whole. */
export function wholeSize(answer: GetObjectCommandOutput, bodyBytes: number): number {
  const total = answer.ContentRange?.split('/')[1];
  return total === undefined ? bodyBytes : Number.parseInt(total, 10);
}

/** Into `body`, which is as long as the answer says it is. @throws {ObjectStoreError} UNAVAILABLE: it is shorter */
export async function readBody(
  answer: GetObjectCommandOutput,
  body: Uint8Array,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const bodyBytes = body.length;
  const stream = answer.Body as AsyncIterable<Uint8Array> | undefined;
  const stop = (): void => destroyBody(answer);
  signal.addEventListener('abort', stop, { once: true });
  let at = 0;
  try {
    for await (const chunk of stream ?? []) {
      if (at + chunk.length > bodyBytes) break;
      body.set(chunk, at);
      at += chunk.length;
    }
  } finally {
    signal.removeEventListener('abort', stop);
  }
  if (at === bodyBytes) return body;
  throw new ObjectStoreError('UNAVAILABLE', `the answer ended after ${at} of ${bodyBytes} bytes`);
}

export function destroyBody(answer: GetObjectCommandOutput): void {
  const { Body } = answer;
  if (Body !== undefined && 'destroy' in Body) Body.destroy();
}
