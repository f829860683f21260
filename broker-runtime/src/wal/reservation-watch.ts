import { messageOf } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';
import type { Timer } from '../ports/clock.ts';
import { describeKey, ReservationError, type Reservation } from '../ports/reservation.ts';
import { FencedError } from './fence.ts';

const REPORT_INTERVAL_MS = 5000;
/** Without an answer for longer, the volume counts as lost: nobody knows whether writes still reach it alone. */
const MAX_UNANSWERED_REPORTS = 3;

export interface ReservationWatch {
  stop(): void;
}

/**
 * Looks every {@link REPORT_INTERVAL_MS} whether `ownKey` still holds the volume, and tells once when it does not (T7).
 * A refused write tells sooner, but a volume that lost its reservation (detached and attached again) refuses nobody:
 * there two brokers could write, and neither would hear of it.
 */
export function watchReservation(
  env: Env,
  reservation: Reservation,
  ownKey: number,
  onLost: (error: FencedError) => void,
): ReservationWatch {
  let timer: Timer | undefined;
  let unanswered = 0;
  let isStopped = false;

  const lose = (why: string, cause?: unknown): void => {
    if (isStopped) return;
    isStopped = true;
    env.events.error('fence.lost', { volume: reservation.volume, ownKey, why });
    onLost(new FencedError(`${reservation.volume} is not ours any more: ${why}`, { cause }));
  };

  const look = async (): Promise<void> => {
    try {
      const { holder } = await reservation.report();
      unanswered = 0;
      if (holder !== ownKey) {
        const by = holder === undefined ? 'nobody' : describeKey(holder);
        lose(`the reservation of ${describeKey(ownKey)} is held by ${by}`);
      }
    } catch (error) {
      unanswered++;
      const isFinal = error instanceof ReservationError && error.code === 'UNSUPPORTED';
      if (isFinal || unanswered >= MAX_UNANSWERED_REPORTS) {
        lose(`${unanswered} reports in a row failed, the last with: ${messageOf(error)}`, error);
      }
    }
    schedule();
  };

  const schedule = (): void => {
    if (isStopped) return;
    timer = env.clock.timer(REPORT_INTERVAL_MS, () => void look());
  };

  schedule();
  return {
    stop: () => {
      isStopped = true;
      timer?.cancel();
    },
  };
}
