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
    load: () => import('./mount.ts'),
  },
  { name: 'status', summary: 'show what a running node does', load: () => import('./status.ts') },
  { name: 'promote', summary: 'make a running replica the primary', load: () => import('./promote.ts') },
  {
    name: 'handoff',
    summary: 'let a replica take over from the running primary',
    load: () => import('./handoff.ts'),
  },
  {
    name: 'restore',
    summary: 'bring a database back from a backup, as of any moment it keeps',
    load: () => import('./restore.ts'),
  },
  {
    name: 'recover',
    summary: 'recover the databases of a stopped node after a crash, or show what that would be',
    load: () => import('./recover.ts'),
  },
  { name: 'backup', summary: 'look into a backup: list, verify, prune', load: () => import('./backup.ts') },
  { name: 'compact', summary: 'compact the backup of a database, once', load: () => import('./compact.ts') },
  {
    name: 'snapshot',
    summary: 'make a snapshot in the backup of a database, once',
    load: () => import('./snapshot.ts'),
  },
  {
    name: 'worker',
    summary: 'take jobs from the queues: compact, snapshot, retain, restore',
    load: () => import('./worker.ts'),
  },
  {
    name: 'scheduler',
    summary: 'schedule the jobs of all databases of a backup',
    load: () => import('./scheduler.ts'),
  },
  {
    name: 'follow',
    summary: 'keep a SQLite file in step with a backup, no mount needed',
    load: () => import('./follow.ts'),
  },
  { name: 'ltx', summary: 'look into LTX files, make them, merge them, apply them', load: () => import('./ltx.ts') },
  { name: 'init', summary: 'write a commented configuration', load: () => import('./init.ts') },
  {
    name: 'config',
    summary: 'print the configuration in force',
    takesProgram: true,
    load: () => import('./config.ts'),
  },
  { name: 'version', summary: 'print the version', load: () => import('./version.ts') },
]
