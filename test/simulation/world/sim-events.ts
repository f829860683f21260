import type { EventFields, Events } from '../../../broker-runtime/src/ports/events.ts';

export type EventLevel = 'debug' | 'info' | 'warn' | 'error';

export interface RecordedEvent {
  readonly level: EventLevel;
  readonly name: string;
  readonly fields: EventFields;
}

/** Says nothing. */
export class SilentEvents implements Events {
  debug(): void {
    return;
  }
  info(): void {
    return;
  }
  warn(): void {
    return;
  }
  error(): void {
    return;
  }
}

/** Keeps every event, so a test can ask what was reported. */
export class RecordingEvents implements Events {
  readonly all: RecordedEvent[] = [];

  debug(name: string, fields: EventFields = {}): void {
    this.all.push({ level: 'debug', name, fields });
  }
  info(name: string, fields: EventFields = {}): void {
    this.all.push({ level: 'info', name, fields });
  }
  warn(name: string, fields: EventFields = {}): void {
    this.all.push({ level: 'warn', name, fields });
  }
  error(name: string, fields: EventFields = {}): void {
    this.all.push({ level: 'error', name, fields });
  }

  named(name: string): RecordedEvent[] {
    return this.all.filter((event) => event.name === name);
  }
}
