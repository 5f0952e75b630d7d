/**
 * The table of test files and their projects. A project limits how many files run at once, by their needs of the
 * machine (docs/testing.md). Within a project, files start in the order of this table, the longest first.
 */

import { readdirSync } from 'node:fs'
import { join, relative } from 'node:path'

export interface Project {
  /** The number of files that run at once. */
  readonly workers: number
  /** The time for the project on a quiet machine with two cores. The run prints it beside the time taken. */
  readonly budgetS: number
  /** Patterns, or files in the table. */
  readonly files: readonly string[]
}

/** Run one after the other, in this order. */
export const PROJECTS = {
  /** Beside the file they test: no mount, no other process. */
  unit: {
    workers: 2,
    budgetS: 90,
    files: [
      'src/**/*.test.ts',
      'workers/**/*.test.ts',
      'bench/**/*.test.ts',
      'demo/**/*.test.ts',
      'infra/**/*.test.ts',
      'test/projects.test.ts',
      'test/sqlite-suite/output.test.ts',
      'test/sqlite-suite/verdict.test.ts',
      'test/succession/succession.test.ts',
    ],
  },
  /** Tests bound by the processor: two of them fill two cores. */
  cpu: {
    workers: 2,
    budgetS: 540,
    files: [
      'test/conformance/driver-direct-user.test.ts',
      'test/abandoned/abandoned.test.ts',
      'test/sqlite-suite/slice.test.ts',
      'test/conformance/driver-fuse-native-user.test.ts',
      'test/conformance/driver-fuse-native-root.test.ts',
      'test/checkpoint/checkpoint.test.ts',
      'test/integration/lockstep.test.ts',
      'test/capture-fuzz/capture-fuzz.test.ts',
      'test/upgrade/upgrade.test.ts',
      'test/faults/crash-scripts.test.ts',
      'test/crash/kill-nine.test.ts',
      'test/crash/kill-while-rejecting.test.ts',
      'test/crash/stale-connections.test.ts',
      'test/interop/serverless.test.ts',
      'test/library/package.test.ts',
      'test/conformance/sqlite.test.ts',
      'test/faults/crash-points.test.ts',
      'test/faults/power-loss.test.ts',
      'test/faults/killed-then-power.test.ts',
      'test/faults/power-scripts.test.ts',
      'test/faults/super-journal.test.ts',
      'test/faults/clean-stop.test.ts',
      'test/faults/cuts.test.ts',
      'test/faults/flips.test.ts',
      'test/faults/full-disk.test.ts',
      'test/checkpoint/blind.test.ts',
      'test/checkpoint/checkpointer.test.ts',
      'test/checkpoint/closing.test.ts',
      'test/checkpoint/made-anew.test.ts',
      'test/checkpoint/quiet.test.ts',
      'test/checkpoint/shared-checkpoint.test.ts',
      'test/cli/backup.test.ts',
      'test/cli/command-line.test.ts',
      'test/cli/compose.test.ts',
      'test/cli/follow.test.ts',
      'test/cli/ltx-apply.test.ts',
      'test/cli/ltx-checksum.test.ts',
      'test/cli/ltx-compact.test.ts',
      'test/cli/ltx.test.ts',
      'test/cli/special-inputs.test.ts',
      'test/cli/upkeep.test.ts',
      'test/conformance/as-user.test.ts',
      'test/conformance/attributes.test.ts',
      'test/conformance/directories.test.ts',
      'test/conformance/files.test.ts',
      'test/conformance/fuse-native.test.ts',
      'test/conformance/handed-over.test.ts',
      'test/conformance/lifecycle.test.ts',
      'test/conformance/mapping.test.ts',
      'test/conformance/node-mounts.test.ts',
      'test/conformance/special-files.test.ts',
      'test/dataplane/failing.test.ts',
      'test/fuzz/fuzz.test.ts',
      'test/integration/apply.test.ts',
      'test/integration/beyond-lock-page.test.ts',
      'test/encrypted/node.test.ts',
      'test/integration/database-filter.test.ts',
      'test/integration/failed-log.test.ts',
      'test/integration/copied-in.test.ts',
      'test/integration/mended-wal.test.ts',
      'test/integration/dropped.test.ts',
      'test/integration/giant.test.ts',
      'test/integration/histories.test.ts',
      'test/integration/many-databases.test.ts',
      'test/integration/renames.test.ts',
      'test/integration/replacing.test.ts',
      'test/integration/round-trips.test.ts',
      'test/integration/stream.test.ts',
      'test/interop/compaction.test.ts',
      'test/interop/litestream.test.ts',
      'test/interop/lock-page.test.ts',
      'test/interop/ltx.test.ts',
      'test/library/runtimes.test.ts',
      'test/plain-directory/modes.test.ts',
      'test/plain-directory/names.test.ts',
    ],
  },
  /** Tests that mostly wait: for a lease to expire, a server to come back, an interval to pass. */
  wait: {
    workers: 4,
    budgetS: 480,
    files: [
      'test/cluster/nemesis.test.ts',
      'test/cluster/last-leader.test.ts',
      'test/cluster/services.test.ts',
      'test/library/installed.test.ts',
      'test/cluster/consul-away.test.ts',
      'test/interop/consul.test.ts',
      'test/interop/founding.test.ts',
      'test/cluster/demotion.test.ts',
      'test/cluster/replica.test.ts',
      'test/cluster/killed-replica.test.ts',
      'test/cluster/replica-writes.test.ts',
      'test/cluster/page-size.test.ts',
      'test/cluster/status.test.ts',
      'test/workers/queues.test.ts',
      'test/cluster/backup.test.ts',
      'test/cluster/frozen-leader.test.ts',
      'test/cluster/held-up.test.ts',
      'test/cluster/hung-client.test.ts',
      'test/cluster/max-lag.test.ts',
      'test/cluster/clean-stop.test.ts',
      'test/cluster/stop-all.test.ts',
      'test/cluster/succession.test.ts',
      'test/cluster/dropped.test.ts',
      'test/cluster/first-moment.test.ts',
      'test/cluster/empty-boot.test.ts',
      'test/cluster/withheld.test.ts',
      'test/cluster/killed-leader.test.ts',
      'test/cli/mount.test.ts',
      'test/cli/large-start.test.ts',
      'test/workers/lost-locks.test.ts',
      'test/cluster/roles.test.ts',
      'test/cli/damage.test.ts',
      'test/cli/recover.test.ts',
      'test/cli/roles.test.ts',
      'test/cluster/waiting-writers.test.ts',
      'test/private/links.test.ts',
      'test/encrypted/cluster.test.ts',
      'test/private/made-directories.test.ts',
      'test/private/named-directories.test.ts',
      'test/private/inherited.test.ts',
      'test/private/moved-directories.test.ts',
      'test/private/made-first.test.ts',
      'test/private/side-directories.test.ts',
      'test/private/user-namespace.test.ts',
      'test/private/followed-files.test.ts',
      'test/private/owners.test.ts',
      'test/cli/secrets.test.ts',
      'test/private/private.test.ts',
      'test/private/readers.test.ts',
      'test/private/swapped-mount-point.test.ts',
      'test/private/swapped-data-directory.test.ts',
      'test/private/former-owner.test.ts',
      'test/private/debugger.test.ts',
      'test/library/node.test.ts',
      'test/interop/s3-backup.test.ts',
      'test/interop/s3.test.ts',
      'test/interop/foreign-answers.test.ts',
      'test/integration/restorable.test.ts',
      'test/integration/backup-away.test.ts',
      'test/interop/two-leaders.test.ts',
      'test/workers/hostile-jobs.test.ts',
      'test/workers/redis-connection.test.ts',
      'test/workers/jobs.test.ts',
    ],
  },
  /** Tests that measure, or that use something of the whole machine. Nothing runs beside them. */
  alone: {
    workers: 1,
    budgetS: 30,
    files: ['test/integration/latency.test.ts'],
  },
} as const satisfies Record<string, Project>

/** The budget of build, checks and all projects on a quiet machine with two cores. */
export const BUDGET_S = 1200

const TABLE = Object.entries<Project>(PROJECTS).flatMap(([name, { files }]) =>
  files.filter((file) => file.startsWith('test/')).map((file) => ({ file, name })),
)

/** Throws unless each test file below test/ is in exactly one project, and each file in the table exists. */
export function assertTable(root: string): void {
  const found = readdirSync(join(root, 'test'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
  const problems = problemsOf(found, TABLE)
  if (problems.length > 0) throw new Error(`test/projects.ts:\n  ${problems.join('\n  ')}`)
}

/** The errors in `table`, given the existing test files. */
export function problemsOf(
  found: readonly string[],
  table: readonly { readonly file: string; readonly name: string }[],
): string[] {
  const names = new Map<string, string[]>(found.map((file) => [file, []]))
  const missing: string[] = []
  for (const { file, name } of table) {
    const into = names.get(file)
    if (into === undefined) missing.push(`${file} is listed under "${name}" and does not exist: remove the line`)
    else into.push(name)
  }
  const wrong = [...names].filter(([, projects]) => projects.length !== 1)
  return [
    ...missing,
    ...wrong.map(([file, projects]) =>
      projects.length === 0
        ? `${file} is in no project: add it to "cpu", "wait" or "alone" (docs/testing.md says which)`
        : `${file} is listed ${projects.length} times, under "${projects.join('" and "')}": remove all but one`,
    ),
  ]
}

/** The position of a file in the table. Unlisted files come first. */
export function placeOf(root: string, file: string): number {
  const name = relative(root, file)
  return TABLE.findIndex((entry) => entry.file === name)
}
