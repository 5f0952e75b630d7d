/** Every command, in the order of the help. Only the module of the called command is loaded. */

import type { Command } from 'commander'

export interface CommandEntry {
  readonly name: string
  readonly summary: string
  /** The arguments after `--` are another program's command line and are not parsed. */
  readonly takesProgram?: true
  readonly load: () => Promise<CommandModule>
}

export interface CommandModule {
  /** Adds the command, with its options and action, to the program. */
  register(program: Command): void
}

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'mount',
    summary: 'run a node: mount, replicate every transaction, supervise a program',
    takesProgram: true,
    load: () => import('./commands/mount.ts'),
  },
  { name: 'status', summary: 'show the state of a running node', load: () => import('./commands/status.ts') },
  { name: 'promote', summary: 'make a running replica the primary', load: () => import('./commands/promote.ts') },
  {
    name: 'handoff',
    summary: 'hand the lead from the running primary to a replica',
    load: () => import('./commands/handoff.ts'),
  },
  {
    name: 'restore',
    summary: 'restore a database from a backup, as of now or an earlier moment',
    load: () => import('./commands/restore.ts'),
  },
  {
    name: 'recover',
    summary: 'recover the databases of a stopped node after a crash, or show the plan',
    load: () => import('./commands/recover.ts'),
  },
  { name: 'backup', summary: 'inspect a backup: list, verify, prune', load: () => import('./commands/backup.ts') },
  { name: 'compact', summary: "compact a database's backup, once", load: () => import('./commands/compact.ts') },
  {
    name: 'snapshot',
    summary: "add a snapshot to a database's backup, once",
    load: () => import('./commands/snapshot.ts'),
  },
  {
    name: 'worker',
    summary: 'take jobs from the queues: compact, snapshot, retain, restore',
    load: () => import('./commands/worker.ts'),
  },
  {
    name: 'scheduler',
    summary: 'schedule the jobs for every database in a backup',
    load: () => import('./commands/scheduler.ts'),
  },
  {
    name: 'follow',
    summary: 'keep a SQLite file in step with a backup, without a mount',
    load: () => import('./commands/follow.ts'),
  },
  {
    name: 'ltx',
    summary: 'inspect, create, merge and apply LTX files',
    load: () => import('./commands/ltx.ts'),
  },
  { name: 'init', summary: 'write a commented configuration file', load: () => import('./commands/init.ts') },
  {
    name: 'config',
    summary: 'print the effective configuration',
    takesProgram: true,
    load: () => import('./commands/config.ts'),
  },
  { name: 'version', summary: 'print the version', load: () => import('./commands/version.ts') },
]
