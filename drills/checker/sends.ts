import type { Findings } from './anomalies.ts';
import type { PartitionHistory, Send } from './partition-history.ts';

/**
 * The log is appended to in real time: a write that began after another was acknowledged gets a greater offset, and
 * offset 0 belongs to the very first (I4).
 */
export function checkSends({ topic, partition, sends }: PartitionHistory, findings: Findings): void {
  const acked = sends.flatMap((send) => {
    const placed = send.records.flatMap(({ value, offset }) =>
      offset === undefined ? [] : [{ value, offset }],
    );
    return send.type === 'ok' && placed.length > 0 ? [{ send, placed }] : [];
  });
  for (const { send, placed } of acked) {
    for (const [n, record] of placed.entries()) {
      const before = placed[n - 1];
      if (before === undefined || record.offset > before.offset) continue;
      findings.add({
        kind: 'int-nonmonotonic-send',
        topic,
        partition,
        what: `offset ${record.offset} follows ${before.offset} inside one write`,
        clients: [send.client],
        values: [before.value, record.value],
        offsets: [before.offset, record.offset],
        timesMs: [send.t1],
      });
    }
  }

  const byStart = [...acked].sort((a, b) => a.send.t0 - b.send.t0);
  const byEnd = [...acked].sort((a, b) => a.send.t1 - b.send.t1);
  let ended = 0;
  let greatest: { send: Send; offset: number; value: string } | undefined;
  for (const { send, placed } of byStart) {
    for (let next = byEnd[ended]; next !== undefined && next.send.t1 < send.t0; next = byEnd[++ended]) {
      for (const { offset, value } of next.placed) {
        if (greatest === undefined || offset > greatest.offset) greatest = { send: next.send, offset, value };
      }
    }
    const [first] = placed;
    if (greatest === undefined || first === undefined || first.offset > greatest.offset) continue;
    const isZero = first.offset === 0;
    findings.add({
      kind: isZero ? 'spurious-zero' : 'nonmonotonic-send',
      topic,
      partition,
      what: `acknowledged at offset ${first.offset}, sent after offset ${greatest.offset} had been acknowledged`,
      clients: [greatest.send.client, send.client],
      values: [greatest.value, first.value],
      offsets: [greatest.offset, first.offset],
      timesMs: [greatest.send.t1, send.t0],
    });
  }
  checkZero({ topic, partition }, byStart, findings);
}

/** Also when the writes overlapped, only one can have been the first. */
function checkZero(
  where: { readonly topic: string; readonly partition: number },
  byStart: readonly { send: Send; placed: readonly { value: string; offset: number }[] }[],
  findings: Findings,
): void {
  const zeros = byStart.filter(({ placed }) => placed[0]?.offset === 0);
  const [first] = zeros;
  for (const { send, placed } of zeros.slice(1)) {
    if (first === undefined || first.send.t1 < send.t0) continue; // Reported above.
    findings.add({
      kind: 'spurious-zero',
      ...where,
      what: 'offset 0 was acknowledged to two writes',
      clients: [first.send.client, send.client],
      values: [first.placed[0]?.value ?? '', placed[0]?.value ?? ''],
      offsets: [0, 0],
      timesMs: [first.send.t1, send.t1],
    });
  }
}
