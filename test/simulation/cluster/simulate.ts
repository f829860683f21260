import { runSeed, type SeedResult } from './run-seed.ts';

const args = process.argv.slice(2);
const option = (name: string): number | undefined => {
  const at = args.indexOf(`--${name}`);
  return at < 0 ? undefined : Number(args[at + 1]);
};
const first = option('seed') ?? option('from') ?? 1;
const seeds = option('seed') !== undefined ? 1 : (option('seeds') ?? 20);
let failed = 0, passed = 0;
for (let seed = first; seed < first + seeds; seed++) {
  const t = performance.now();
  const r: SeedResult = await runSeed(seed);
  const s = (performance.now() - t) / 1000;
  console.log(`seed ${seed}: ${r.violations.length === 0 ? 'ok' : 'FAILED'} ${(r.simulatedMs / 1000).toFixed(0)} sim s in ${s.toFixed(1)} s, acked ${r.acknowledged}, read ${r.read}, entries ${r.entries}, ${r.fingerprint}`);
  if (r.violations.length > 0) {
    failed++;
    for (const v of r.violations.slice(0, 5)) console.log('   ', v);
    if (args.includes('--verbose')) for (const l of r.lines.slice(-Number(option('lines') ?? 150))) console.log('   |', l);
  } else passed++;
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
