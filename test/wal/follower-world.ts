import { LogFollower } from '../../broker-runtime/src/wal/log-follower.ts';
import type { Applied, LogFollowerOptions } from '../../broker-runtime/src/wal/log-follower.ts';
import { Images } from '../../broker-runtime/src/wal/conditional/images.ts';
import type { ConditionalJournal } from '../../broker-runtime/src/wal/conditional-journal.ts';
import type { MemoryObjectStore } from '../simulation/world/memory-object-store.ts';
import type { JournalWorld } from './journal-world.ts';
import { LinesImage } from './journal-world.ts';

export interface OpenFollower {
  readonly follower: LogFollower;
  readonly image: LinesImage;
  readonly store: MemoryObjectStore;
  /** What its listener was told, in order. */
  readonly told: { readonly sequence: number; readonly applied: Applied; readonly lines: number }[];
}

export async function openFollower(
  world: JournalWorld,
  options: LogFollowerOptions = {},
  store = world.store(),
): Promise<OpenFollower> {
  const image = new LinesImage();
  const follower = await world.run(LogFollower.open(world.env, store, [image], options));
  if (follower === undefined) throw new Error('there is no cluster in the bucket');
  const told: OpenFollower['told'] = [];
  follower.onApplied((sequence, applied) => told.push({ sequence, applied, lines: image.lines.length }));
  return { follower, image, store, told };
}

export function stateOf(image: LinesImage): string {
  return Buffer.from(new Images([image]).write()).toString('hex');
}

/** All that `journal` still has behind `sequence`. @throws {Error} when that is too far behind */
export function recentOf(journal: ConditionalJournal, sequence: number): readonly Uint8Array[] {
  const recent = journal.entriesAfter(sequence, Infinity);
  if (recent === 'too-far-behind') throw new Error(`the journal has nothing behind ${sequence} any more`);
  return recent.entries;
}
