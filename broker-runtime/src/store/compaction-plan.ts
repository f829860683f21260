import type { StoreOptions } from './options.ts';
import type { StreamRange } from './stream.ts';

/**
 * Which neighbouring ranges of a stream should become one: the first run of at least `compactionFanIn` ranges of one
 * size class or smaller, smallest class first. Classes are powers of the fan-in, so a byte is rewritten once per
 * class and not once per round. Ranges of at least a fan-in-th of the largest object are left as they are.
 */
export function planCompaction(
  ranges: readonly StreamRange[],
  options: Pick<StoreOptions, 'compactionFanIn' | 'compactionObjectBytes'>,
): readonly StreamRange[] {
  const { compactionFanIn: fanIn, compactionObjectBytes: objectBytes } = options;
  const classLimits: number[] = [];
  for (let limit = objectBytes; limit >= 1; limit /= fanIn) classLimits.unshift(limit);
  for (const limit of classLimits) {
    const run = firstRun(ranges, limit / fanIn, objectBytes, fanIn);
    if (run.length > 0) return run;
  }
  return [];
}

function firstRun(
  ranges: readonly StreamRange[],
  smallerThanBytes: number,
  objectBytes: number,
  fanIn: number,
): readonly StreamRange[] {
  let first = 0;
  let bytes = 0;
  for (const [n, range] of ranges.entries()) {
    const isSmall = range.sizeBytes < smallerThanBytes;
    if (isSmall && bytes + range.sizeBytes <= objectBytes) {
      bytes += range.sizeBytes;
      continue;
    }
    if (n - first >= fanIn) return ranges.slice(first, n);
    first = isSmall ? n : n + 1;
    bytes = isSmall ? range.sizeBytes : 0;
  }
  return ranges.length - first >= fanIn ? ranges.slice(first) : [];
}
