import { ByteReader, ByteWriter } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import { messageOf } from '../base/errors.ts';
import { RpcError, RpcFaultError } from './errors.ts';
import type { RpcLimits } from './limits.ts';

/** What travels in either direction. */
export interface RpcBody {
  /** Whatever JSON can say; `undefined` stays undefined. */
  readonly json: unknown;
  /** Sent without a copy: must never change once handed over. Received, they are views of their frame's memory. */
  readonly blobs: readonly Uint8Array[];
}

export interface RpcRequest {
  readonly type: 'request';
  readonly correlationId: number;
  readonly method: string;
  readonly body: RpcBody;
}

export interface RpcResponse {
  readonly type: 'response';
  readonly correlationId: number;
  readonly body: RpcBody;
}

export interface RpcFailure {
  readonly type: 'error';
  readonly correlationId: number;
  readonly code: string;
  readonly message: string;
}

export type RpcMessage = RpcRequest | RpcResponse | RpcFailure;

export type FrameLimits = Pick<RpcLimits, 'frameMaxBytes' | 'documentMaxBytes' | 'blobsMax'>;

const TYPES = ['request', 'response', 'error'] as const;
/** On the wire types count from 1, so that a frame of zeros is none. */
const FIRST_TYPE = 1;

/** The length field, which does not count itself. */
export const FRAME_LENGTH_BYTES = 4;
const CRC_BYTES = 4;
/** type, correlation id, document length, `{}`, blob count, CRC. */
export const FRAME_MIN_BYTES = 1 + 4 + 4 + 2 + 4 + CRC_BYTES;

/*
 * A frame is one message. Big-endian:
 *
 *   length           u32   of what follows, the checksum included
 *   type             u8    1 request, 2 response, 3 error
 *   correlation id   u32   chosen by the client, not in use on this connection; an answer repeats its request's
 *   document length  u32
 *   document         JSON, UTF-8
 *                      request   {"method": string, "body"?: any}
 *                      response  {"body"?: any}
 *                      error     {"code": string, "message": string}
 *   blob count       u32
 *   count times      length u32, bytes
 *   crc32c           u32   of everything before, the length included
 *
 * Fields of the document that a reader does not know are ignored: they are how the protocol grows.
 */

/** @returns the frame in pieces, blobs as they were given. @throws {RpcError} TOO_LARGE */
export function encodeFrame(message: RpcMessage, limits: FrameLimits): readonly Uint8Array[] {
  const { blobs } = bodyOf(message);
  const document = new TextEncoder().encode(JSON.stringify(documentOf(message)));
  requireAtMost(document.length, limits.documentMaxBytes, 'bytes of JSON');
  requireAtMost(blobs.length, limits.blobsMax, 'blobs');
  const blobBytes = blobs.reduce((sum, blob) => sum + 4 + blob.length, 0);
  const length = FRAME_MIN_BYTES - 2 + document.length + blobBytes;
  requireAtMost(length, limits.frameMaxBytes, 'bytes');

  const head = new ByteWriter(FRAME_LENGTH_BYTES + length - blobBytes);
  head.uint32(length);
  head.uint8(FIRST_TYPE + TYPES.indexOf(message.type));
  head.uint32(message.correlationId);
  head.uint32(document.length);
  head.raw(document);
  head.uint32(blobs.length);
  const pieces: Uint8Array[] = [head.finish()];
  for (const blob of blobs) pieces.push(uint32(blob.length), blob);
  const crc = pieces.reduce((seed, piece) => crc32c(piece, seed), 0);
  return [...pieces, uint32(crc)].filter((piece) => piece.length > 0);
}

/**
 * Reads one frame, length field included. Memory it needs beyond the frame is that of the document and a view a blob.
 * @throws {RpcFaultError}
 */
export function decodeFrame(frame: Uint8Array, limits: FrameLimits): RpcMessage {
  const contentEnd = frame.length - CRC_BYTES;
  if (contentEnd < FRAME_LENGTH_BYTES + FRAME_MIN_BYTES - CRC_BYTES) {
    throw new RpcFaultError('frame-length', `a frame of ${frame.length} bytes is shorter than any`);
  }
  const expected = new ByteReader(frame, contentEnd).uint32();
  const content = frame.subarray(0, contentEnd);
  const actual = crc32c(content);
  if (actual !== expected) {
    throw new RpcFaultError('frame-checksum', `a frame of ${frame.length} bytes does not match its CRC32C`);
  }
  try {
    return decodeContent(new ByteReader(content, FRAME_LENGTH_BYTES), limits);
  } catch (error) {
    if (error instanceof RpcFaultError) throw error;
    throw new RpcFaultError('frame-content', `a frame cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

function decodeContent(reader: ByteReader, limits: FrameLimits): RpcMessage {
  const type = TYPES[reader.uint8() - FIRST_TYPE];
  const correlationId = reader.uint32();
  const documentBytes = reader.uint32();
  if (documentBytes > limits.documentMaxBytes) {
    throw contentFault(`${documentBytes} bytes of JSON, ${limits.documentMaxBytes} are allowed`);
  }
  const text = new TextDecoder('utf-8', { fatal: true }).decode(reader.slice(documentBytes));
  const document: unknown = JSON.parse(text);
  const count = reader.uint32();
  if (count > limits.blobsMax) throw contentFault(`${count} blobs, ${limits.blobsMax} are allowed`);
  const blobs: Uint8Array[] = [];
  while (blobs.length < count) blobs.push(reader.slice(reader.uint32()));
  if (reader.remaining > 0) throw contentFault(`${reader.remaining} bytes behind the last blob`);
  if (typeof document !== 'object' || document === null) throw contentFault('its document is not an object');
  switch (type) {
    case 'request':
      return {
        type,
        correlationId,
        method: textField(document, 'method'),
        body: { json: field(document, 'body'), blobs },
      };
    case 'response':
      return { type, correlationId, body: { json: field(document, 'body'), blobs } };
    case 'error':
      return {
        type,
        correlationId,
        code: textField(document, 'code'),
        message: textField(document, 'message'),
      };
    default:
      throw contentFault('its type is unknown');
  }
}

const NO_BLOBS: RpcBody = { json: undefined, blobs: [] };

function bodyOf(message: RpcMessage): RpcBody {
  return message.type === 'error' ? NO_BLOBS : message.body;
}

function documentOf(message: RpcMessage): object {
  switch (message.type) {
    case 'request':
      return { method: message.method, body: message.body.json };
    case 'response':
      return { body: message.body.json };
    case 'error':
      return { code: message.code, message: message.message };
  }
}

function field(document: object, name: string): unknown {
  return Object.hasOwn(document, name) ? (document as Record<string, unknown>)[name] : undefined;
}

function textField(document: object, name: string): string {
  const value = field(document, name);
  if (typeof value !== 'string') throw contentFault(`"${name}" of its document is not a text`);
  return value;
}

function contentFault(what: string): RpcFaultError {
  return new RpcFaultError('frame-content', `a frame cannot be read: ${what}`);
}

function requireAtMost(actual: number, max: number, unit: string): void {
  if (actual <= max) return;
  const what = `a message of ${actual} ${unit} cannot be sent, ${max} are allowed: split it`;
  throw new RpcError('TOO_LARGE', false, what);
}

function uint32(value: number): Uint8Array {
  const writer = new ByteWriter(4);
  writer.uint32(value);
  return writer.finish();
}
