import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const FOLDER = path.resolve(import.meta.dirname, '..', '..', '.cache', 'compatibility');

/** A jest reporter that keeps what each client suite ran and how it ended, for docs/compatibility.md. */
export default class ResultsReporter {
  onTestResult(test, result) {
    const suite = /\/clients\/([^/]+)\.test\.ts$/.exec(test.path)?.[1];
    if (suite === undefined) return;
    const tests = result.testResults.map(({ title, status }) => ({ title, status }));
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(path.join(FOLDER, `${suite}.tests.json`), JSON.stringify(tests, null, 2));
  }
}
