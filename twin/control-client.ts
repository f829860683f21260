import { readFileSync } from 'node:fs';
import path from 'node:path';
import { MillraceError } from '../broker-runtime/src/base/errors.ts';
import { type ControlCommands, type ControlName, TWIN_FILE, type TwinFile } from './control.ts';

/** No twin runs on the folder, or it refused. */
export class TwinControlError extends MillraceError {
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** A running twin, seen from another process. */
export class ControlClient {
  readonly #url: string;
  readonly #key: string;

  private constructor({ control }: TwinFile) {
    this.#url = `http://${control.host}:${control.port}`;
    this.#key = control.key;
  }

  /** @throws {TwinControlError} NO_TWIN */
  static of(dataDir: string): ControlClient {
    const file = path.join(dataDir, TWIN_FILE);
    try {
      return new ControlClient(JSON.parse(readFileSync(file, 'utf8')) as TwinFile);
    } catch (error) {
      throw new TwinControlError(
        'NO_TWIN',
        `no cluster runs on ${path.resolve(dataDir)}: start one with "millrace up", or name its folder with --data`,
        { cause: error },
      );
    }
  }

  /** @throws {TwinControlError} */
  async call<N extends ControlName>(
    name: N,
    args: ControlCommands[N]['args'],
  ): Promise<ControlCommands[N]['result']> {
    let answer: Response;
    try {
      answer = await fetch(`${this.#url}/${name}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${this.#key}` },
        body: JSON.stringify(args),
      });
    } catch (error) {
      throw new TwinControlError('NO_TWIN', `the cluster does not answer at ${this.#url}: is it still up?`, {
        cause: error,
      });
    }
    const body: unknown = await answer.json();
    if (answer.ok) return body as ControlCommands[N]['result'];
    const { code, message } = body as { code: string; message: string };
    throw new TwinControlError(code, message);
  }
}
