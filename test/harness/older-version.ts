import { symlinkSync } from 'node:fs';
import path from 'node:path';
import { runOk } from './command.ts';

const ROOT = path.resolve(import.meta.dirname, '..', '..');
const BUILD_DEADLINE_MS = 120_000;

/**
 * The oldest version of the broker that a cluster may be upgraded from, and go back to. It moves on when a format, or a
 * message between brokers, changes in a way that version does not bear; such a change says so in its docs.
 */
export const OLDEST_COMPATIBLE = '30ed5e7';

/** Its bundle, built from the repository's history into `folder`, with the packages that are installed here. */
export async function olderBundle(folder: string, commit = OLDEST_COMPATIBLE): Promise<string> {
  const script = 'git archive "$1" | tar -x -C "$2"';
  await runOk('bash', ['-o', 'pipefail', '-c', script, 'bash', commit, folder], { cwd: ROOT });
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'));
  await runOk(process.execPath, [path.join(folder, 'broker-runtime', 'build.mjs')], {
    cwd: folder,
    deadlineMs: BUILD_DEADLINE_MS,
  });
  return path.join(folder, 'broker-runtime', 'dist', 'millrace-broker.mjs');
}
