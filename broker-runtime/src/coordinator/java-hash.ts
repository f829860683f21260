/**
 * The partition of `__consumer_offsets` that keeps a group: abs(hash) % n with the hash of Java's String, so that
 * Kafka's tools look in the right place.
 */
export function partitionForGroup(groupId: string, partitionCount: number): number {
  let hash = 0;
  for (let at = 0; at < groupId.length; at++) hash = (Math.imul(31, hash) + groupId.charCodeAt(at)) | 0;
  // Kafka's Utils.abs: the one number without a positive counterpart becomes 0.
  return (hash === -0x8000_0000 ? 0 : Math.abs(hash)) % partitionCount;
}
