/** The look of the page: system fonts, light and dark, and colours that never stand alone for a meaning. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --ground: #ffffff; --text: #1c2128; --faint: #59636e; --line: #d1d9e0; --band: #f2f5f8;
  --bar: #2f6fb5; --good: #1a7f37; --bad: #c62828; --action: #b35900;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14181d; --text: #e6eaef; --faint: #9aa5b1; --line: #343c46; --band: #1c2229;
    --bar: #6aa9ec; --good: #4cc26b; --bad: #ff7b72; --action: #f0a04b;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 64rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.15rem; }
p { margin: .5rem 0; }
.lead { font-size: 1.1rem; }
.faint { color: var(--faint); max-width: 46rem; }
.verdict { display: inline-block; margin: 0 0 .5rem; padding: .1rem .7rem; border: 2px solid; border-radius: .4rem; font-weight: 700; }
.verdict.pass { color: var(--good); }
.verdict.fail, .alert { color: var(--bad); }
figure { margin: 0 0 1rem; }
svg { display: block; width: 100%; height: auto; }
.band-0 { fill: var(--band); }
.band-1 { fill: var(--ground); }
.bar { fill: var(--bar); }
.axis { stroke: var(--line); }
.label, .phase { fill: var(--faint); font-size: 12px; }
line.action { stroke: var(--action); stroke-width: 2; stroke-dasharray: 5 3; }
line.failure { stroke: var(--bad); stroke-width: 2; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; overflow-wrap: anywhere; }
th { color: var(--faint); font-weight: 600; }
tr.good td:nth-child(4) { color: var(--good); }
tr.bad td:nth-child(4), tr.failure td { color: var(--bad); }
tr.phase td { font-weight: 600; }
`;
