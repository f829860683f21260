import { describe, expect, test } from '@jest/globals';
import { BudgetError, LIMITS, parseLimit } from '../../../drills/report/budget.ts';
import { renderHtml } from '../../../drills/report/html.ts';
import { renderJson } from '../../../drills/report/report.ts';
import { renderText } from '../../../drills/report/text.ts';
import { BAD_FACTS, GOOD_FACTS, report } from './a-report.ts';

describe('the verdict', () => {
  test('passes when the drill came to its end and every limit was kept', () => {
    expect(report()).toMatchObject({ pass: true });
    expect(report().budget.map(({ limit, value, max, verdict }) => [limit, value, max, verdict])).toEqual([
      ['lost', 0, 0, 'within'],
      ['duplicated', 0, 0, 'within'],
      ['reordered', 0, 0, 'within'],
      ['otherAnomalies', 0, 0, 'within'],
      ['sendErrors', 0, 0, 'within'],
      ['detectMs', 9_100, 12_000, 'within'],
      ['stallMaxMs', 10_050, 15_000, 'within'],
    ]);
  });

  test.each([
    ['a record was lost', { lost: 1 }, 'lost', 'exceeded'],
    ['another anomaly was found', { otherAnomalies: 1 }, 'otherAnomalies', 'exceeded'],
    ['a limit was not measured', { detectMs: null }, 'detectMs', 'not measured'],
    ['there was no load during the fault', { stallMs: null }, 'stallMaxMs', 'not measured'],
  ] as const)('fails when %s', (_, change, limit, verdict) => {
    const failed = report({ ...GOOD_FACTS, ...change });
    expect(failed.pass).toBe(false);
    expect(failed.budget.find((line) => line.limit === limit)?.verdict).toBe(verdict);
  });

  test('fails when nothing was acknowledged, or the drill did not come to its end', () => {
    expect(report({ ...GOOD_FACTS, acknowledged: 0 }).pass).toBe(false);
    expect(report({ ...GOOD_FACTS, failure: 'interrupted' }).pass).toBe(false);
  });

  test('goes by the limits of the user', () => {
    expect(report(GOOD_FACTS, parseLimit('stallMaxMs=10000')).pass).toBe(false);
    const unlimited = report({ ...GOOD_FACTS, detectMs: null }, parseLimit('detectMs=none'));
    expect(unlimited.pass).toBe(true);
    expect(unlimited.budget.map(({ limit }) => limit)).not.toContain('detectMs');
  });

  test.each(['stall=1', 'lost', 'lost=', 'lost=-1', 'lost=x', 'lost=1=2', 'toString=1'])(
    'refuses the limit %s and says what is allowed',
    (text) => {
      expect(() => parseLimit(text)).toThrow(BudgetError);
      expect(() => parseLimit(text)).toThrow(/allowed: /);
    },
  );

  test('every limit can be set', () => {
    for (const name of Object.keys(LIMITS)) expect(parseLimit(`${name}=7`)).toEqual({ [name]: 7 });
  });
});

describe('JSON', () => {
  test('has exactly these fields', () => {
    const parsed = JSON.parse(renderJson(report())) as Record<string, unknown>;
    expect(Object.keys(parsed).sort()).toEqual(
      [
        ...[
          'acknowledged',
          'anomalies',
          'budget',
          'commitMs',
          'detectMs',
          'drill',
          'duplicated',
          'durationMs',
        ],
        ...[
          'environment',
          'errors',
          'evidence',
          'explanation',
          'failure',
          'fenceMs',
          'lost',
          'otherAnomalies',
        ],
        ...['pass', 'read', 'reopenMs', 'reordered', 'replayMs', 'sendErrors', 'stallMs', 'startedAt'],
        ...['throughput', 'timeline', 'unknown'],
      ].sort(),
    );
    expect(parsed['stallMs']).toEqual({ p50: 8, p99: 40, max: 10_050 });
  });
});

describe('text', () => {
  test('says first what matters', () => {
    const lines = renderText(report(), false).split('\n');
    expect(lines[0]).toBe('PASS  kill-broker  2026-01-02T03:04:05.000Z, 61.2 s');
    expect(lines[1]).toBe(
      '12,345 records acknowledged: 0 lost, 0 duplicated, 0 out of order; the longest pause of a producer was 10.1 s',
    );
    expect(renderText(report(), false)).toMatch(/stallMaxMs\s+10\.1 s at most 15\.0 s within/);
    expect(renderText(report(), false)).toContain(
      'detect 9,100 ms  fence 12 ms  replay 340 ms  commit 45 ms  reopen 120 ms',
    );
  });

  test('shows evidence, errors and why the drill did not end', () => {
    const text = renderText(report(BAD_FACTS), false);
    expect(text).toMatch(/^FAIL/);
    expect(text).toContain('the drill did not come to its end: broker "2" did not start');
    expect(text).toContain('1  lost-write: acknowledged, never read');
    expect(text).toContain('lost-write in orders/3: acknowledged at offset 7');
    expect(text).toContain('values orders|3|p|1|0123456789ab');
    expect(text).toContain('producer-3 send: connection <closed> & gone');
    expect(text).toContain('not measured');
  });

  test('is coloured on a terminal only', () => {
    expect(renderText(report(), false)).not.toContain('\u001b');
    expect(renderText(report(), true)).toContain('\u001b[32mPASS');
    expect(renderText(report(BAD_FACTS), true)).toContain('\u001b[31mFAIL');
  });
});

describe('the page', () => {
  const page = renderHtml(report(BAD_FACTS));

  test('needs nothing but itself', () => {
    expect(page).not.toMatch(/https?:|\/\/[a-z]|src=|href=|@import|url\(|<link|<script/i);
    expect(page).toContain("default-src 'none'");
  });

  test('escapes what clients and clusters said', () => {
    expect(page).toContain('&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;');
    expect(page).toContain('connection &lt;closed&gt; &amp; gone');
    expect(page).toContain('broker &quot;2&quot; did not start');
  });

  test('has the picture, and the same in words beside it', () => {
    expect(page).toContain('<svg viewBox');
    expect(page).toMatch(/<title id="timeline-title">.+<\/title>/);
    expect(page.match(/class="bar"/g)).toHaveLength(3);
    expect(page).toContain('<td>10.0 s</td><td>kill broker 2</td>');
    expect(page).toContain('prefers-color-scheme: dark');
    expect(page).toContain('<th scope="col">Verdict</th>');
    for (const { limit, verdict } of report(BAD_FACTS).budget) {
      expect(page).toMatch(new RegExp(`<td>${limit}</td>.*<td>${verdict}</td>`));
    }
  });

  test('opens its elements and closes them again', () => {
    for (const tag of ['table', 'tr', 'td', 'section', 'svg', 'main', 'g']) {
      const count = (pattern: string) => page.match(new RegExp(pattern, 'g'))?.length ?? 0;
      expect([tag, count(`<${tag}[ >]`)]).toEqual([tag, count(`</${tag}>`)]);
    }
  });
});
