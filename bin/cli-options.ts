import { InvalidArgumentError, Option } from 'commander';
import { MillraceError } from '../broker-runtime/src/base/errors.ts';
import { parseGeneration, parseStore } from '../twin/options.ts';

/** Commander prints an InvalidArgumentError as one line beside the option's name, without a stack trace. */
export function checked<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      if (error instanceof MillraceError) throw new InvalidArgumentError(error.message);
      throw error;
    }
  };
}

export const storeOption = (what: string): Option =>
  new Option('--store <dir|s3://bucket/prefix>', what).argParser(checked(parseStore));
export const endpointOption = (): Option =>
  new Option('--store-endpoint <url>', 'S3-compatible server instead of AWS');
export const regionOption = (): Option => new Option('--store-region <region>', 'region of the bucket');
export const generationOption = (what: string): Option =>
  new Option('--generation <n>', what).default(0).argParser(checked(parseGeneration));
