export type EventFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

/**
 * What the broker says about itself: one structured line an event. Names are stable and dotted
 * (`wal.recovered`), fields carry ids and units. Text that came from a client must be escaped by the adapter.
 */
export interface Events {
  debug(name: string, fields?: EventFields): void;
  info(name: string, fields?: EventFields): void;
  warn(name: string, fields?: EventFields): void;
  error(name: string, fields?: EventFields): void;
}
