import { fileURLToPath } from 'node:url'

/**
 * Programs that tests start as processes, by the name of the built file. build-programs.ts builds them all before the
 * tests, because a built program starts in a third of the time of one in TypeScript.
 */
export const PROGRAMS = {
  'apply-process': 'test/integration/apply-process.ts',
  'apply-reader': 'test/integration/apply-reader.ts',
  'better-sqlite3-victim': 'test/abandoned/better-sqlite3-victim.ts',
  'cluster-look': 'test/cluster/look.ts',
  'cluster-reader': 'test/cluster/reader.ts',
  'cluster-watcher': 'test/cluster/watcher.ts',
  'cluster-writer': 'test/cluster/writer.ts',
  'crash-check': 'test/crash/check.ts',
  'crash-writer': 'test/crash/writer.ts',
  /** The data plane's threads, which the process of `failing-data-plane` expects beside it. */
  dataplane: 'src/dataplane/thread.ts',
  'failing-data-plane': 'test/dataplane/failing-process.ts',
  /** The libfuse process, which plain-server's mount expects beside it. */
  'fuse-bridge': 'src/fuse/bridge/main.ts',
  'keep-awake': 'src/dataplane/keep-awake-thread.ts',
  'lease-holder-process': 'test/interop/lease-holder-process.ts',
  'lockstep-client': 'test/integration/lockstep/client.ts',
  'lockstep-session': 'test/integration/lockstep/session-process.ts',
  'plain-server': 'test/conformance/plain-server.ts',
  'sql-process': 'test/cluster/sql-process.ts',
  'sync-thread': 'src/dataplane/sync-thread.ts',
  'upgrade-application': 'test/upgrade/application-process.ts',
} as const

export type ProgramName = keyof typeof PROGRAMS

/** The directory, relative to the repository. */
export const PROGRAMS_DIRECTORY = 'node_modules/.cache/test-programs'

/** The path of the built program. */
export function programFile(name: ProgramName): string {
  return fileURLToPath(new URL(`../../${PROGRAMS_DIRECTORY}/${name}.js`, import.meta.url))
}
