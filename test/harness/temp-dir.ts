import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** A folder that goes away with the test, wherever TMPDIR points. */
export class TempDir {
  readonly path = mkdtempSync(path.join(tmpdir(), 'millrace-'));

  join(...names: string[]): string {
    return path.join(this.path, ...names);
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
