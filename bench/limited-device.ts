import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

const V1 = '/sys/fs/cgroup/blkio';
const V2 = '/sys/fs/cgroup';

/**
 * Runs `work` while this process, and what it starts, writes to the device under `file` no faster than a volume does:
 * by a control group of the kernel, version 1 or 2. @returns undefined, without running it, where this process may not
 * make control groups
 */
export async function onLimitedDevice<T>(
  file: string,
  bytesPerSecond: number,
  work: () => Promise<T>,
): Promise<T | undefined> {
  const version1 = existsSync(V1);
  const root = version1 ? V1 : V2;
  const group = path.join(root, `millrace-bench-${process.pid}`);
  const before = groupOf(process.pid, version1);
  const { dev } = statSync(file);
  // As makedev(3) packs them, for the small numbers that disks have.
  const device = `${dev >> 8}:${dev & 0xff}`;
  try {
    mkdirSync(group);
    if (version1) {
      writeFileSync(path.join(group, 'blkio.throttle.write_bps_device'), `${device} ${bytesPerSecond}`);
    } else {
      writeFileSync(path.join(group, 'io.max'), `${device} wbps=${bytesPerSecond}`);
    }
    appendFileSync(path.join(group, 'cgroup.procs'), `${process.pid}`);
  } catch {
    if (existsSync(group)) rmdirSync(group);
    return undefined;
  }
  try {
    return await work();
  } finally {
    appendFileSync(path.join(root, before, 'cgroup.procs'), `${process.pid}`);
    rmdirSync(group);
  }
}

/* /proc/PID/cgroup: a line a hierarchy, "id:controllers:path"; version 2 has no controllers. */
function groupOf(pid: number, version1: boolean): string {
  const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n');
  const wanted = version1 ? 'blkio' : '';
  const line = lines.map((each) => each.split(':')).find(([, controllers]) => controllers === wanted);
  return line?.[2] ?? '/';
}
