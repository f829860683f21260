import { MillraceError } from '../base/errors.ts';
import { brokerDefinition } from './configs.ts';
import { problemWith } from './configs/definition.ts';

/**
 * The broker settings given to one process at start, with its id under both of Kafka's names.
 * @throws {InvalidSettingError} when one is unknown or not allowed
 */
export function staticSettings(
  nodeId: number,
  given: Readonly<Record<string, string>>,
): ReadonlyMap<string, string> {
  const id = String(nodeId);
  const settings = new Map(Object.entries({ 'broker.id': id, 'node.id': id, ...given }));
  checkSettings(settings);
  return settings;
}

/** A broker setting given at start that is unknown or not allowed. */
export class InvalidSettingError extends MillraceError {
  readonly code = 'INVALID_SETTING';
}

function checkSettings(settings: ReadonlyMap<string, string>): void {
  for (const [name, value] of settings) {
    const definition = brokerDefinition(name);
    if (definition === undefined) {
      throw new InvalidSettingError(
        `'${name}' is not a broker setting: check its spelling, or leave it out if it tunes Kafka's own code`,
      );
    }
    const problem = problemWith(definition, value);
    if (problem !== undefined) throw new InvalidSettingError(problem);
  }
}
