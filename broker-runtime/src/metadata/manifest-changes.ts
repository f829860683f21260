import type { CommittedObject, ManifestChanges, StreamRangeRef } from '../store/manifest.ts';
import type { Commands, RecoveryRef } from './commands.ts';

/** The store's changes as commands; with `recovery`, in the place of the fenced node. */
export function manifestChanges(commands: Commands, recovery?: RecoveryRef): ManifestChanges {
  return {
    prepareObjects: (count, deadlineWallMs) => commands.send('objects.prepare', { count, deadlineWallMs }),
    commitObjects: async (objects: readonly CommittedObject[]) => {
      await commands.send('objects.commit', recovery === undefined ? { objects } : { objects, recovery });
    },
    replaceRanges: async (objects: readonly CommittedObject[], replaced: readonly StreamRangeRef[]) => {
      await commands.send('ranges.replace', { objects, replaced });
    },
    trimStream: async (streamId, startOffset) => {
      await commands.send('stream.trim', { streamId, startOffset });
    },
    expirePrepared: async (nowWallMs) => {
      await commands.send('objects.expire', { nowWallMs });
    },
    removeObjects: async (objectIds) => {
      await commands.send('objects.remove', { objectIds });
    },
  };
}
