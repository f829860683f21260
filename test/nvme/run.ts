/**
 * Runs the tests of this folder in a throw-away Linux guest in which one NVMe namespace is attached to two hosts, with
 * the reservations of the kernel's own NVMe target (nvmet): `npm run test:nvme`. README.md says what it proves.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  accessSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
} from 'node:fs';
import { rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { build } from 'esbuild';

const here = import.meta.dirname;
const brokerRuntime = path.join(here, '..', '..', 'broker-runtime');
/** What instances run. */
const BUNDLE = 'millrace-broker.mjs';
const cache = path.join(
  process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'),
  'millrace-nvme-test',
);
const IMAGE_DEADLINE_MS = 300_000;
const GUEST_DEADLINE_MS = 600_000;
const GUEST_MIB = 1792;
const PRINT_EVERY_MS = 200;

/** What must be on the PATH, and the Debian package that brings it. */
const NEEDED = {
  'qemu-system-x86_64': 'qemu-system-x86',
  xz: 'xz-utils',
  'apt-get': 'apt (the guest is made of Debian packages: use Debian or Ubuntu, or a container of one)',
  'dpkg-deb': 'dpkg',
};

function checkTools(): void {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    fail(`this test needs Linux on x64, this is ${process.platform} on ${process.arch}`);
  }
  const missing = Object.entries(NEEDED).filter(([program]) => !isOnPath(program));
  if (missing.length > 0) {
    fail(
      `${missing.map(([program]) => program).join(', ')} missing; install with apt-get install: ` +
        missing.map(([, debianPackage]) => debianPackage).join(', '),
    );
  }
}

function isOnPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(path.join(folder, program)));
}

/** The guest without the tests; made anew when what it is made from changed. */
function prepareImage(): void {
  mkdirSync(cache, { recursive: true });
  const node = statSync(process.execPath);
  const sources = ['image.sh', 'init.sh', 'hold-writes.sh'].map((name) =>
    readFileSync(path.join(here, name)),
  );
  const version = createHash('sha256')
    .update(Buffer.concat([...sources, Buffer.from(`${process.execPath} ${node.size} ${node.mtimeMs}`)]))
    .digest('hex');
  const stamp = path.join(cache, 'made-from');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === version) return;
  console.log(`Making the guest in ${cache} (once; about 100 MB of Debian packages) ...`);
  rmSync(stamp, { force: true });
  const made = spawnSync(path.join(here, 'image.sh'), [cache, process.execPath], {
    stdio: ['ignore', 2, 2],
    timeout: IMAGE_DEADLINE_MS,
  });
  if (made.status !== 0) fail('the guest could not be made; see the messages above');
  writeFileSync(stamp, version);
}

/** The kernel unpacks archives that stand one behind the other. */
async function makeInitrd(scratch: string): Promise<string> {
  const bundled = spawnSync(process.execPath, [path.join(brokerRuntime, 'build.mjs')], {
    stdio: ['ignore', 'ignore', 2],
  });
  if (bundled.status !== 0) fail('the broker could not be bundled; see the messages above');
  await build({
    entryPoints: ['main', 'host-a', 'host-b'].map((name) => path.join(here, `${name}.ts`)),
    outdir: path.join(scratch, 'job'),
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    external: ['@node-rs/crc32'],
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
    logLevel: 'warning',
  });
  copyFileSync(path.join(brokerRuntime, 'dist', BUNDLE), path.join(scratch, 'job', BUNDLE));
  const names = ['job', ...readdirSync(path.join(scratch, 'job')).map((name) => `job/${name}`)];
  const job = spawnSync(path.join(cache, 'user/usr/bin/busybox'), ['cpio', '-o', '-H', 'newc', '-R', '0:0'], {
    cwd: scratch,
    input: names.join('\n'),
    maxBuffer: 64 * 1024 * 1024,
  });
  if (job.status !== 0) fail(`the tests could not be packed: ${String(job.stderr)}`);
  const initrd = path.join(scratch, 'initrd');
  writeFileSync(initrd, Buffer.concat([readFileSync(path.join(cache, 'image.cpio')), job.stdout]));
  return initrd;
}

/** The kernel's own virtualisation, only where the CPU offers it; else emulation, which needs no rights at all. */
function accelerator(): string[] {
  const isOffered = ['kvm_intel', 'kvm_amd'].some((module) => existsSync(`/sys/module/${module}`));
  try {
    if (isOffered) {
      accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
      return ['-accel', 'kvm', '-cpu', 'host', '-smp', '2'];
    }
  } catch {
    // No right to use it.
  }
  // One CPU: QEMU 7.2 with two emulated ones trips over Linux patching its own code.
  return ['-accel', 'tcg', '-cpu', 'max', '-smp', '1'];
}

/** Prints what came since it was called last: QEMU cannot write to every kind of standard output. */
const printMore = (() => {
  let printedBytes = 0;
  return (file: string) => () => {
    const bytes = existsSync(file) ? readFileSync(file) : Buffer.alloc(0);
    process.stdout.write(bytes.subarray(printedBytes));
    printedBytes = bytes.length;
  };
})();

/** The exit status of the tests; undefined when they did not come to an end. */
async function boot(scratch: string, initrd: string): Promise<number | undefined> {
  const kernel = readdirSync(path.join(cache, 'kernel'), { recursive: true, encoding: 'utf8' }).find((name) =>
    path.basename(name).startsWith('vmlinuz'),
  );
  if (kernel === undefined) fail(`no kernel in ${cache}: remove that folder and run again`);
  const outputFile = path.join(scratch, 'output');
  const statusFile = path.join(scratch, 'status');
  const options = [
    [
      '-M',
      'q35',
      '-m',
      String(GUEST_MIB),
      '-nodefaults',
      '-no-user-config',
      '-display',
      'none',
      '-no-reboot',
    ],
    ['-kernel', path.join(cache, 'kernel', kernel), '-initrd', initrd],
    ['-append', 'console=ttyS0 quiet panic=-1 nvme_core.multipath=N nvme_core.io_timeout=300'],
    ['-serial', `file:${path.join(scratch, 'kernel.log')}`, '-device', 'virtio-serial-pci'],
    ['-chardev', `file,id=out,path=${outputFile}`, '-device', 'virtserialport,chardev=out,nr=1'],
    ['-chardev', `file,id=status,path=${statusFile}`, '-device', 'virtserialport,chardev=status,nr=2'],
  ].flat();
  const qemu = spawn('qemu-system-x86_64', [...accelerator(), ...options], {
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: GUEST_DEADLINE_MS,
    killSignal: 'SIGKILL',
  });
  const stop = (): void => void qemu.kill('SIGKILL');
  process.on('exit', stop);
  const printing = setInterval(printMore(outputFile), PRINT_EVERY_MS);
  const [ended] = (await once(qemu, 'close')) as [number | null];
  clearInterval(printing);
  printMore(outputFile)();
  const status = existsSync(statusFile) ? Number.parseInt(readFileSync(statusFile, 'utf8'), 10) : Number.NaN;
  if (Number.isSafeInteger(status)) return status;
  const kernelLog = path.join(scratch, 'kernel.log');
  if (existsSync(kernelLog)) console.error(readFileSync(kernelLog, 'utf8').split('\n').slice(-40).join('\n'));
  console.error(
    ended === null
      ? `the guest was stopped after ${GUEST_DEADLINE_MS} ms`
      : `the guest ended without a result (qemu: ${ended})`,
  );
  return undefined;
}

function fail(why: string): never {
  console.error(`test:nvme: ${why}`);
  process.exit(1);
}

checkTools();
prepareImage();
const scratch = mkdtempSync(path.join(tmpdir(), 'millrace-nvme-'));
try {
  process.exitCode = (await boot(scratch, await makeInitrd(scratch))) ?? 1;
} finally {
  rmSync(scratch, { recursive: true });
}
