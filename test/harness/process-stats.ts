import { readFileSync } from 'node:fs';

/** Clock ticks a second in /proc/PID/stat: 100 on every Linux that Node supports. */
const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4096;

export interface ProcessStats {
  /** User and system time of all threads, seconds. */
  readonly cpuSeconds: number;
  readonly residentBytes: number;
}

/** What the kernel says a process has used; throws when it is gone. */
export function processStats(pid: number): ProcessStats {
  // The command name, in brackets, may hold spaces: the fields are counted from behind it.
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [userTicks, systemTicks, residentPages] = [fields[11], fields[12], fields[21]].map(Number);
  if (userTicks === undefined || systemTicks === undefined || residentPages === undefined) {
    throw new Error(`/proc/${pid}/stat is not what proc(5) says: ${stat}`);
  }
  return {
    cpuSeconds: (userTicks + systemTicks) / TICKS_PER_SECOND,
    residentBytes: residentPages * PAGE_BYTES,
  };
}
