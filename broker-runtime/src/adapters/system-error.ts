/**
 * Whether `error` came from the system with one of these codes (`ENOENT`, ...). Asked by shape, not by
 * `instanceof`: errors of Node's own modules belong to another realm when code runs in a VM context.
 */
export function isSystemError(error: unknown, ...codes: readonly string[]): boolean {
  const code = systemErrorCode(error);
  return code !== undefined && codes.includes(code);
}

export function systemErrorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
