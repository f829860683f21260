/**
 * kafkajs 2.2.4 counts from the year 1970 to now where nothing was throttled yet (`throttledUntil = -1`,
 * src/network/requestQueue/index.js), and Node 24 warns of the timer of minus 56 years that comes of it. It does no harm, and whoever
 * runs a drill can do nothing about it. Other negative timers are still told.
 */
const KAFKAJS_TIMER = /^-1\d{12} is a negative number/;

/** Keeps that one warning from the terminal; to be called before a client is made. */
export function quietKafkajs(target: Pick<NodeJS.Process, 'emitWarning'> = process): void {
  const emit = target.emitWarning.bind(target) as (...args: unknown[]) => void;
  target.emitWarning = (...args: unknown[]): void => {
    if (args[1] === 'TimeoutNegativeWarning' && KAFKAJS_TIMER.test(String(args[0]))) return;
    emit(...args);
  };
}
