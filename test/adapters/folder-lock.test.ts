import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { FileLock } from '../../broker-runtime/src/adapters/file-lock.ts';
import { FolderLockedError, lockFolder } from '../../broker-runtime/src/adapters/folder-lock.ts';
import { killChildren, startChild } from './child.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'millrace-lock-'));
});
afterEach(() => {
  killChildren();
  rmSync(folder, { recursive: true });
});

describe('lockFolder', () => {
  test('creates the folder and holds it against the same process', () => {
    const data = path.join(folder, 'not', 'yet', 'there');
    const lock = lockFolder(data);
    expect(() => lockFolder(data)).toThrow(FolderLockedError);
    expect(() => lockFolder(data)).toThrow(
      /is held by another process: stop that one, or use another folder/,
    );
    lock.release();
    lock.release();
    lockFolder(data).release();
  });

  test('holds it against another process, until that one is killed with -9', async () => {
    const holder = startChild('hold-lock.ts', folder);
    await holder.printed(1);
    expect(holder.lines).toEqual(['held']);
    expect(() => lockFolder(folder)).toThrow(FolderLockedError);

    const second = startChild('hold-lock.ts', folder);
    await second.printed(1);
    expect(second.lines).toEqual(['FolderLockedError']);

    // Regression: a lock whose object nobody kept was released by the garbage collector.
    holder.process.kill('SIGUSR2');
    await holder.printed(2);
    expect(holder.lines).toEqual(['held', 'collected']);
    expect(() => lockFolder(folder)).toThrow(FolderLockedError);

    await holder.kill();
    lockFolder(folder).release();
  });
});

describe('FileLock', () => {
  test('is taken once, released, taken again; two locks of one file exclude each other', () => {
    const a = new FileLock(path.join(folder, 'l'));
    const b = new FileLock(path.join(folder, 'l'));
    expect(a.tryAcquire()).toBe(true);
    expect(a.tryAcquire()).toBe(false);
    expect(b.tryAcquire()).toBe(false);
    a.release();
    expect(b.tryAcquire()).toBe(true);
    b.close();
    expect(a.tryAcquire()).toBe(true);
    a.close();
    a.close();
    expect(() => a.tryAcquire()).toThrow(/is closed/);
  });
});
