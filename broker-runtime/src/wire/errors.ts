/** Placeholder type until the table is generated from Kafka's error list. */
export type ErrorCode = number;
