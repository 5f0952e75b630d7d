/**
 * Where imports may point: down ARCHITECTURE.md's table of rooms, which is read here as the rule, and never in a circle.
 * Types count. Tests, and the helpers that only tests import, may reach anything.
 */

import { existsSync, readdirSync, readFileSync } from 'node:fs'

/** `x.test.ts`, and what only such files import: helpers of a room's tests, the suite that each store passes. */
const TEST = String.raw`(\.test|/testing|/racing|/conformance)\.ts$|/testing/`

const rooms = readRooms(readFileSync(new URL('./ARCHITECTURE.md', import.meta.url), 'utf8'))
assertEveryFileHasARoom()

/** The table under `## Rooms`: from top to bottom, and within a row from left to right. */
function readRooms(text) {
  const section = /^## Rooms$(.*?)^## /ms.exec(text)?.[1] ?? ''
  const rows = section.split('\n').filter((line) => line.startsWith('| `'))
  const found = rows.flatMap((row) => [...row.split('|')[1].matchAll(/`([^`]+)\/`/g)].map((match) => match[1]))
  if (found.length < 10) throw new Error('ARCHITECTURE.md has no table of rooms under "## Rooms"')
  return found
}

function assertEveryFileHasARoom() {
  for (const room of rooms)
    if (!existsSync(room)) throw new Error(`ARCHITECTURE.md names ${room}/, which does not exist`)
  for (const file of readdirSync('src', { recursive: true })) {
    const path = `src/${file}`
    if (!path.endsWith('.ts') || rooms.some((room) => path.startsWith(`${room}/`))) continue
    throw new Error(`${path} is in no room of ARCHITECTURE.md: add the room to the table, where its imports allow it`)
  }
}

/** The files of a room that are in none of its sub-rooms. */
function filesOf(room) {
  const inside = rooms.filter((other) => other.startsWith(`${room}/`)).map((other) => other.slice(room.length + 1))
  return inside.length === 0 ? `^${room}/` : `^${room}/(?!(${inside.join('|')})/)`
}

export default {
  forbidden: [
    {
      name: 'no-circles',
      comment: 'A circle has no lower part that could be understood first. Move what both need below both.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'tests-stay-outside',
      comment: 'What is shipped imports nothing of tests, benchmarks or the demo.',
      severity: 'error',
      from: { path: '^(src|workers)/', pathNot: TEST },
      to: { path: [String.raw`^(test|bench|demo|infra)/`, TEST] },
    },
    {
      name: 'no-development-packages',
      comment: 'A package that is shipped code imports belongs to "dependencies", or to those that a user may bring.',
      severity: 'error',
      from: { path: '^(src|workers)/', pathNot: [TEST, '^src/ltx/kernels/build.ts$'] },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['npm-peer'] },
    },
    {
      name: 'nothing-unresolved',
      comment:
        'An import must lead somewhere. node:sqlite does from Node.js 22.13; where there is none, the code asks.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true, pathNot: '^node:sqlite$' },
    },
    ...rooms.slice(1).map((room, i) => ({
      name: `down-from-${room.replaceAll('/', '-')}`,
      comment: `ARCHITECTURE.md's table of rooms: ${room}/ may import only from rooms below it.`,
      severity: 'error',
      from: { path: filesOf(room), pathNot: TEST },
      to: { path: rooms.slice(0, i + 1).map(filesOf), pathNot: TEST },
    })),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: ['^dist/', '^src/ltx/kernels/assembly/'] },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    detectProcessBuiltinModuleCalls: true,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'node', 'default'] },
  },
}
