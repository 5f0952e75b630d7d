/** Every command, in the order of the help. A command's module is loaded only when it is the one that was called. */

import type { Command } from 'commander'

export interface CommandEntry {
  readonly name: string
  readonly summary: string
  /** What follows `--` is another program's command line and is not parsed. */
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
    summary: 'run a node: mount it, replicate what is written, supervise a program',
    takesProgram: true,
    load: () => import('./commands/mount.ts'),
  },
  { name: 'status', summary: 'show what a running node does', load: () => import('./commands/status.ts') },
  { name: 'promote', summary: 'make a running replica the primary', load: () => import('./commands/promote.ts') },
  {
    name: 'handoff',
    summary: 'let a replica take over from the running primary',
    load: () => import('./commands/handoff.ts'),
  },
  {
    name: 'restore',
    summary: 'bring a database back from a backup, as of any moment it keeps',
    load: () => import('./commands/restore.ts'),
  },
  {
    name: 'recover',
    summary: 'recover the databases of a stopped node after a crash, or show what that would be',
    load: () => import('./commands/recover.ts'),
  },
  { name: 'backup', summary: 'look into a backup: list, verify, prune', load: () => import('./commands/backup.ts') },
  { name: 'compact', summary: 'compact the backup of a database, once', load: () => import('./commands/compact.ts') },
  {
    name: 'snapshot',
    summary: 'make a snapshot in the backup of a database, once',
    load: () => import('./commands/snapshot.ts'),
  },
  {
    name: 'worker',
    summary: 'take jobs from the queues: compact, snapshot, retain, restore',
    load: () => import('./commands/worker.ts'),
  },
  {
    name: 'scheduler',
    summary: 'schedule the jobs of all databases of a backup',
    load: () => import('./commands/scheduler.ts'),
  },
  {
    name: 'follow',
    summary: 'keep a SQLite file in step with a backup, no mount needed',
    load: () => import('./commands/follow.ts'),
  },
  {
    name: 'ltx',
    summary: 'look into LTX files, make them, merge them, apply them',
    load: () => import('./commands/ltx.ts'),
  },
  { name: 'init', summary: 'write a commented configuration', load: () => import('./commands/init.ts') },
  {
    name: 'config',
    summary: 'print the configuration in force',
    takesProgram: true,
    load: () => import('./commands/config.ts'),
  },
  { name: 'version', summary: 'print the version', load: () => import('./commands/version.ts') },
]
