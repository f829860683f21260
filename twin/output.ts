/** Lines on standard output: for a person, or one JSON object each. */
export type Print = (event: string, fields: Record<string, unknown>, text?: string) => void;

export function printer(json: boolean): Print {
  return (event, fields, text) => {
    if (json) process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
    else if (text !== undefined) process.stdout.write(`${text}\n`);
  };
}

/** One Ctrl-C may arrive twice: from the terminal, which sends it to the whole group, and from the command that started us. */
const SAME_SIGNAL_MS = 500;

/** Resolves at the first SIGINT or SIGTERM; a second one does not wait: `atOnce` ends what runs. */
export function untilSignal(atOnce: () => void): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let askedAtMs: number | undefined;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        const nowMs = performance.now();
        if (askedAtMs === undefined) {
          askedAtMs = nowMs;
          resolve(signal);
        } else if (nowMs - askedAtMs > SAME_SIGNAL_MS) {
          atOnce();
          process.exit(130);
        }
      });
    }
  });
}

/** Calls `line` in intervals and shows what it returns on the last line of a terminal. Returns the way to stop. */
export function liveLine(intervalMs: number, line: () => string): () => void {
  const interval = setInterval(() => process.stderr.write(`\r\u001b[K${line()}`), intervalMs);
  return () => {
    clearInterval(interval);
    process.stderr.write('\r\u001b[K');
  };
}
