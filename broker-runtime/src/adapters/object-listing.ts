import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { segmentOfFile, segmentOfFolder } from './object-files.ts';
import { compareKeys } from './object-requests.ts';

interface Wanted {
  readonly prefix: string;
  readonly after: string | undefined;
  readonly count: number;
}

/** The first `count` keys in byte order; folders that cannot hold a wanted key are not read. */
export async function keysOf(objects: string, wanted: Wanted): Promise<readonly string[]> {
  const found: string[] = [];
  await collect(objects, '', wanted, found);
  return found;
}

async function collect(folder: string, folderPrefix: string, wanted: Wanted, found: string[]): Promise<void> {
  const { prefix, after = '', count } = wanted;
  const entries = await readdir(folder, { withFileTypes: true });
  // A folder stands for all keys that begin with its name and '/', which are neighbours in byte order.
  const names = entries.flatMap((entry) => {
    const segment = entry.isDirectory() ? `${segmentOfFolder(entry.name)}/` : segmentOfFile(entry.name);
    return segment === undefined ? [] : [{ key: folderPrefix + segment, file: entry.name }];
  });
  names.sort((a, b) => compareKeys(a.key, b.key));
  for (const { key, file } of names) {
    if (found.length >= count) return;
    if (!key.endsWith('/')) {
      if (key.startsWith(prefix) && key > after) found.push(key);
    } else if ((key.startsWith(prefix) || prefix.startsWith(key)) && (key > after || after.startsWith(key))) {
      await collect(path.join(folder, file), key, wanted, found);
    }
  }
}
