/**
 * The floors of the house. A file imports only from its own room or from lower floors: never upward, never
 * sideways into another room of its floor, never in a circle. A room's subfolder is private to the room.
 */
const SRC = 'broker-runtime/src';

/** Top to bottom. Rooms that stand side by side on one floor do not know each other. */
const FLOORS = [
  ['main'],
  ['agent'],
  ['broker'],
  ['server'],
  ['controller', 'coordinator', 'promotion'],
  ['metadata', 'log'],
  ['store'],
  ['wal', 'rpc'],
  ['adapters'],
  ['ports', 'wire'],
  ['base'],
];

/** A room is a folder, or a single file of the same name. */
const room = (name) => `^${SRC}/${name}(/|\\.ts$)`;
const rooms = (names) => `^${SRC}/(${names.join('|')})(/|\\.ts$)`;

const floorRules = FLOORS.flatMap((floor, level) =>
  floor.map((name) => ({
    name: `floor-of-${name}`,
    comment: `${name} stands on the floors below it and knows nothing above or beside it`,
    severity: 'error',
    from: { path: room(name) },
    to: {
      path: `^${SRC}/`,
      pathNot: [room(name), ...(level + 1 < FLOORS.length ? [rooms(FLOORS.slice(level + 1).flat())] : [])],
    },
  })),
);

/** Adapters stand on ports alone, and only the composition roots choose adapters. */
const adapterRules = [
  {
    name: 'adapters-stand-on-ports-alone',
    severity: 'error',
    from: { path: room('adapters') },
    to: { path: `^${SRC}/`, pathNot: [rooms(['adapters', 'ports', 'base'])] },
  },
  {
    name: 'only-composition-roots-choose-adapters',
    severity: 'error',
    from: { path: `^${SRC}/`, pathNot: [rooms(['adapters', 'main', 'agent'])] },
    to: { path: room('adapters') },
  },
];

/** The kinds of WAL are plug-ins that do not know each other; what serves several of them has a place of its own. */
const walRules = [
  { folder: 'groups', below: [] },
  { folder: 'conditional', below: [] },
  { folder: 'block', below: ['groups'] },
  { folder: 'object', below: ['groups', 'conditional'] },
].map(({ folder, below }) => ({
  name: `floor-of-wal-${folder}`,
  severity: 'error',
  from: { path: `^${SRC}/wal/${folder}/` },
  to: { path: `^${SRC}/wal/[^/]+/`, pathNot: [folder, ...below].map((name) => `^${SRC}/wal/${name}/`) },
}));

/** The drills drive clusters from outside: nothing they say about a broker comes from the broker's own code. */
const drillRules = [
  {
    name: 'drills-do-not-know-the-broker',
    severity: 'error',
    from: { path: '^drills/' },
    to: {
      path: '^(broker-runtime|bin|lib|twin|environments|test|bench)/',
      pathNot: `^${SRC}/base/errors\\.ts$`,
    },
  },
  {
    name: 'only-the-workload-knows-its-client',
    severity: 'error',
    from: { path: '^drills/', pathNot: '^drills/workload/' },
    to: { path: 'node_modules/kafkajs/' },
  },
  ...[
    { room: 'history', below: [] },
    { room: 'checker', below: ['history'] },
    { room: 'workload', below: ['history'] },
    { room: 'report', below: ['checker'] },
  ].map(({ room, below }) => ({
    name: `floor-of-drills-${room}`,
    severity: 'error',
    from: { path: `^drills/${room}/` },
    to: { path: '^drills/', pathNot: [room, ...below].map((name) => `^drills/${name}/`) },
  })),
];

export default {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    ...floorRules,
    ...adapterRules,
    ...walRules,
    ...drillRules,
    {
      name: 'private-subfolders',
      comment: 'A subfolder belongs to its room; others go through the room’s own files.',
      severity: 'error',
      from: { path: `^${SRC}/([^/]+)/` },
      to: { path: `^${SRC}/([^/]+)/[^/]+/`, pathNot: [`^${SRC}/$1/`, `^${SRC}/wire/`] },
    },
    {
      name: 'runtime-does-not-know-the-kit',
      severity: 'error',
      from: { path: `^${SRC}/` },
      to: { path: '^(bin|lib|twin|drills|environments|test|bench)/' },
    },
    {
      name: 'kit-does-not-know-the-runtime',
      severity: 'error',
      from: { path: '^lib/', pathNot: '^lib/instance-contract\\.ts$' },
      to: { path: '^(broker-runtime|twin|drills|environments|test|bench|bin)/' },
    },
    {
      name: 'only-the-contract-knows-the-instance',
      comment: 'Its types alone: nothing of the broker runs at synth',
      severity: 'error',
      from: { path: '^lib/instance-contract\\.ts$' },
      to: { path: `^${SRC}/agent/instance-config\\.ts$`, dependencyTypesNot: ['type-only'] },
    },
    ...[
      { room: 'environment', below: [] },
      { room: 'constructs', below: ['environment'] },
      { room: 'cost', below: ['environment'] },
      { room: 'stacks', below: ['constructs', 'environment'] },
    ].map(({ room, below }) => ({
      name: `floor-of-lib-${room}`,
      severity: 'error',
      from: { path: `^lib/${room}/` },
      to: {
        path: '^lib/',
        pathNot: [...[room, ...below].map((name) => `^lib/${name}/`), '^lib/instance-contract\\.ts$'],
      },
    })),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)(dist|node_modules)/' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { extensions: ['.ts', '.mjs', '.js', '.json'] },
  },
};
