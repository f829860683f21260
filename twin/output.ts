/** Lines on standard output: for a person, or one JSON object each. */
export type Print = (event: string, fields: Record<string, unknown>, text?: string) => void;

export function printer(json: boolean): Print {
  return (event, fields, text) => {
    if (json) process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
    else if (text !== undefined) process.stdout.write(`${text}\n`);
  };
}

/** Resolves at the first SIGINT or SIGTERM; a second one does not wait: `atOnce` ends what runs. */
export function untilSignal(atOnce: () => void): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let asked = false;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (asked) {
          atOnce();
          process.exit(130);
        }
        asked = true;
        resolve(signal);
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
