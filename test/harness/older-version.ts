import { symlinkSync } from 'node:fs';
import path from 'node:path';
import { run, runOk } from './command.ts';

const ROOT = path.resolve(import.meta.dirname, '..', '..');
const BUILD_DEADLINE_MS = 120_000;
const BUNDLE = path.join('broker-runtime', 'dist', 'millrace-broker.mjs');

/**
 * The oldest version of the broker that a cluster may be upgraded from, and go back to. It moves on when a format, or a
 * message between brokers, changes in a way that version does not bear; such a change says so in its docs.
 */
export const OLDEST_COMPATIBLE = '30ed5e7';

/**
 * Its bundle, built from the repository's history into `folder`, with the packages that are installed here. A clone without
 * that history has only this version: then it is put beside itself, which still restarts every broker, and is said.
 */
export async function olderBundle(folder: string, commit = OLDEST_COMPATIBLE): Promise<string> {
  const { status } = await run('git', ['cat-file', '-e', `${commit}^{commit}`], { cwd: ROOT });
  if (status !== 0) {
    console.warn(`commit ${commit} is not in this clone: upgrade-and-back runs this version beside itself`);
    await build(ROOT);
    return path.join(ROOT, BUNDLE);
  }
  const script = 'git archive "$1" | tar -x -C "$2"';
  await runOk('bash', ['-o', 'pipefail', '-c', script, 'bash', commit, folder], { cwd: ROOT });
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'));
  await build(folder);
  return path.join(folder, BUNDLE);
}

async function build(root: string): Promise<void> {
  const script = path.join(root, 'broker-runtime', 'build.mjs');
  await runOk(process.execPath, [script], { cwd: root, deadlineMs: BUILD_DEADLINE_MS });
}
