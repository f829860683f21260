/** Shorter neighbours are copied together: one more entry in the socket's gather list costs about a 2 KiB copy. */
const MERGE_BELOW_BYTES = 2048;

/**
 * The pieces of several replies as one list for the socket: runs of small pieces become one buffer, large ones stay
 * views of where they are.
 */
export function coalesce(pieces: readonly Uint8Array[]): {
  readonly merged: readonly Uint8Array[];
  readonly bytes: number;
} {
  const merged: Uint8Array[] = [];
  let bytes = 0;
  let runStart = 0;
  let runBytes = 0;
  const endRun = (end: number): void => {
    const first = pieces[runStart];
    if (end - runStart === 1 && first !== undefined) merged.push(first);
    else if (end > runStart) merged.push(concatenate(pieces.slice(runStart, end), runBytes));
    runBytes = 0;
  };
  pieces.forEach((piece, at) => {
    bytes += piece.length;
    if (piece.length < MERGE_BELOW_BYTES) {
      runBytes += piece.length;
      return;
    }
    endRun(at);
    merged.push(piece);
    runStart = at + 1;
  });
  endRun(pieces.length);
  return { merged, bytes };
}

function concatenate(pieces: readonly Uint8Array[], bytes: number): Uint8Array {
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
