import { existsSync, renameSync, statSync } from 'node:fs';
import path from 'node:path';
import { runOk } from './command.ts';

const ROOT = path.resolve(import.meta.dirname, '..', '..');

/**
 * A real file of `bytes`: the installed dependencies as a tar archive, in base64 lines of 999 characters so
 * that line-oriented tools can carry it. Compresses like real data (about 4:3 at the least), made once.
 */
export async function realFile(bytes: number): Promise<string> {
  const file = path.join(ROOT, '.cache', `real-file-${bytes}`);
  if (existsSync(file) && statSync(file).size === bytes) return file;
  const script = `
    mkdir -p "$(dirname "$2")" && : > "$2.part"
    while [ "$(stat -c %s "$2.part")" -lt "$3" ]; do
      tar cf - -C "$1/node_modules" . | base64 -w 999 >> "$2.part"
    done
    truncate -s "$(($3 - 1))" "$2.part" && echo >> "$2.part"`;
  await runOk('bash', ['-c', script, 'real-file', ROOT, file, String(bytes)], { deadlineMs: 600_000 });
  renameSync(`${file}.part`, file);
  return file;
}
